//! States as the ledger writes them: each is a type here, a word in an event and in a column.

use sqlx::any::{AnyTypeInfo, AnyValueRef};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Any, Decode, Encode, Type};

macro_rules! words {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl Type<Any> for $name {
            fn type_info() -> AnyTypeInfo {
                <String as Type<Any>>::type_info()
            }

            fn compatible(own: &AnyTypeInfo) -> bool {
                <String as Type<Any>>::compatible(own)
            }
        }

        impl<'r> Decode<'r, Any> for $name {
            fn decode(value: AnyValueRef<'r>) -> Result<Self, BoxDynError> {
                let word = <String as Decode<'r, Any>>::decode(value)?;
                match word.as_str() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(concat!("a word that no ", stringify!($name), " has").into()),
                }
            }
        }

        impl<'q> Encode<'q, Any> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <Any as sqlx::Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <String as Encode<'_, Any>>::encode_by_ref(&self.word().to_owned(), buffer)
            }
        }
    )*};
}

words! {
    /// How far a run has come.
    RunState {
        Started = "started",
        /// Decided, not yet visible: recovery publishes it.
        Committed = "committed",
        Published = "published",
        Failed = "failed",
    }

    /// What came of a committed run.
    RunOutcome {
        Done = "done",
        /// A record or file was rejected, quarantined, held or refused.
        DoneWithRejections = "done_with_rejections",
    }

    /// What became of an input.
    InputState {
        Accepted = "accepted",
        /// Whole, with a code; it landed.
        Rejected = "rejected",
        /// It holds a likely 個人番号 and did not land.
        Quarantined = "quarantined",
        /// A CRL whose set was not taken: the same bytes are looked at again.
        Refused = "refused",
        /// It waits in the inbox.
        Held = "held",
        /// Unread: a newer set made it useless.
        PassedOver = "passed_over",
    }
}
