//! The formats of a report, by the names that `--format` takes.

ungraceful_record::words! {
    /// How a report is written.
    pub enum Format: "format" {
        /// For a person at a terminal.
        Text = "text",
        /// A summary for programs, with stable field names.
        Json = "json",
        /// One row per case, for spreadsheets and plots.
        Csv = "csv",
        /// The same content as text, for an issue or a wiki.
        Markdown = "markdown",
        /// JUnit XML with a test case per verdict, for continuous integration.
        Junit = "junit",
    }
}
