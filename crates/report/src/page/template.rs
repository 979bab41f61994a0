//! Fills the template of the page. Every text is escaped twice over: unprintable characters become visible, and HTML becomes text.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, escape_formatter};

use super::model::Page;
use super::pictures::size;
use crate::escape::plain;

const NAME: &str = "page.html";
const SOURCE: &str = include_str!("page.html");

/// The page as HTML.
pub(super) fn render(page: &Page) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(lines_of_their_own());
    environment.set_formatter(|out, state, value| match value.as_str() {
        // Pictures are ours, and the only text that is markup.
        Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(plain(text))),
        _ => escape_formatter(out, state, value),
    });
    environment.add_template(NAME, SOURCE).expect("the template is a constant that the tests render");
    let template = environment.get_template(NAME).expect("it was added above");
    let (width, height) = size();
    template
        .render(context! { page => Serde(page), width, height })
        .expect("the template uses only what every page has, and the tests render all of it")
}

/// A line with nothing but a block leaves no empty line behind.
fn lines_of_their_own() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the usual delimiters are valid")
}
