//! Enums with names: variants of a fault, values of facts, and other choices.

/// Declares an enum with a name for each value, used on the command line, in files and in reports. Provides `ALL` in the order
/// of declaration, `name`, `Display`, `FromStr` (whose error lists the names), `Default` (the first value), and a conversion
/// to [`Fact`](crate::attempt::Fact).
///
/// ```
/// ungraceful_record::words! {
///     /// The fate of a Will.
///     pub enum Fate: "fate" {
///         /// It is published.
///         Published = "published",
///         /// It is withheld.
///         Withheld = "withheld",
///     }
/// }
/// assert_eq!("withheld".parse(), Ok(Fate::Withheld));
/// assert_eq!(Fate::ALL.map(Fate::name), ["published", "withheld"]);
/// assert_eq!("lost".parse::<Fate>().unwrap_err(), r#"unknown fate "lost"; choose from published, withheld"#);
/// ```
///
/// The values after `else` hold free text behind a prefix. Such an enum has no `ALL` and no `name`.
///
/// ```
/// ungraceful_record::words! {
///     /// The fate of a client.
///     pub enum Became {
///         /// It was served.
///         Served = "served",
///     } else {
///         /// It was cut, by this.
///         Cut = "cut by ",
///     }
/// }
/// assert_eq!("cut by RST".parse(), Ok(Became::Cut("RST".to_owned())));
/// assert_eq!(Became::Served.to_string(), "served");
/// ```
#[macro_export]
macro_rules! words {
    (
        $(#[$of_type:meta])*
        $visible:vis enum $name:ident: $what:literal {
            $($(#[$of_value:meta])* $value:ident = $word:literal,)+
        }
    ) => {
        $(#[$of_type])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visible enum $name {
            $($(#[$of_value])* $value,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            $visible const ALL: [Self; [$($word),+].len()] = [$(Self::$value),+];

            /// The name.
            #[must_use]
            $visible const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.into_iter().find(|value| value.name() == text);
                found.ok_or_else(|| {
                    format!("unknown {} {text:?}; choose from {}", $what, Self::ALL.map(Self::name).join(", "))
                })
            }
        }

        impl From<$name> for $crate::attempt::Fact {
            fn from(value: $name) -> Self {
                Self::Word(value.name().to_owned())
            }
        }
    };
    (
        $(#[$of_type:meta])*
        $visible:vis enum $name:ident {
            $($(#[$of_value:meta])* $value:ident = $word:literal,)+
        } else {
            $($(#[$of_rest:meta])* $rest:ident = $begin:literal,)+
        }
    ) => {
        $(#[$of_type])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visible enum $name {
            $($(#[$of_value])* $value,)+
            $($(#[$of_rest])* $rest(String),)+
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let (begin, rest) = match self {
                    $(Self::$value => ($word, ""),)+
                    $(Self::$rest(rest) => ($begin, rest.as_str()),)+
                };
                f.write_str(begin)?;
                f.write_str(rest)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $(if text == $word {
                    return Ok(Self::$value);
                })+
                $(if let Some(rest) = text.strip_prefix($begin) {
                    return Ok(Self::$rest(rest.to_owned()));
                })+
                Err(format!("unknown value {text:?}"))
            }
        }

        impl From<$name> for $crate::attempt::Fact {
            fn from(value: $name) -> Self {
                Self::Word(value.to_string())
            }
        }
    };
}
