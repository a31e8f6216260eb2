//! Result codes that the program raises by name (処理結果詳細コード), with how grave they are and what they speak of.
//!
//! Codes of field rules are not here: they follow from a layout ([`crate::messages::field_code`]).

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::messages::{self, Message};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $scope:ident;)+) => {
        /// A code of the catalogue, in the order of the codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its six digits.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Name of the variant, for tests and documents.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            pub const fn severity(self) -> $crate::messages::Severity {
                match self {
                    $(Self::$name => $crate::messages::Severity::$severity,)+
                }
            }

            pub const fn scope(self) -> $crate::messages::Scope {
                match self {
                    $(Self::$name => $crate::messages::Scope::$scope,)+
                }
            }
        }
    };
}
pub(crate) use codes;

pub use crate::code_list::Code;

impl Code {
    /// Its entry of the catalogue.
    pub fn message(self) -> &'static Message {
        messages::of(self.text())
    }

    /// The code of six digits.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.text() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl From<Code> for &'static str {
    fn from(code: Code) -> Self {
        code.text()
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("no code of the catalogue"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_catalogue_says() {
        for code in Code::ALL {
            let message = code.message();
            assert_eq!((message.severity, message.scope), (code.severity(), code.scope()), "{}", code.text());
            assert_eq!(Code::parse(code.text()), Some(*code));
        }
        assert!(Code::ALL.is_sorted_by_key(|code| code.text()));
    }
}
