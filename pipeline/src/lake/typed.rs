//! Rows of tables as types. [`super::tables`] is generated from the declarations: per table a `Row`, a `View` of a batch and a
//! token per column. A writer that leaves out a column, or gives it another type, does not compile.

use std::borrow::Cow;
use std::marker::PhantomData;

use arrow::array::{
    Array, BinaryArray, Date32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMillisecondArray,
};

use super::columns::Sink;
use super::schema::named;
use crate::base::error::Result;
use crate::base::time::{Day, Moment};

/// Type of a column: how a value of it lies in a row, and how in an array.
pub trait Kind {
    type Array: Array + 'static;
    type Value<'a>;

    fn get(array: &Self::Array, row: usize) -> Self::Value<'_>;
    fn put(value: &Self::Value<'_>, sink: &mut Sink<'_>);
    fn own(value: Self::Value<'_>) -> Self::Value<'static>;
    /// The next value of a source; `None` when it has none for a column that must have one.
    fn take<'a>(source: &mut impl Source<'a>) -> Option<Self::Value<'a>>;
}

/// Values of one row, column by column in the order of the table. Each call moves on by one column.
pub trait Source<'a> {
    fn text(&mut self) -> Option<&'a str>;
    fn bytes(&mut self) -> Option<&'a [u8]>;
    fn int(&mut self) -> Option<i64>;
    fn day(&mut self) -> Option<Day>;
    fn moment(&mut self) -> Option<Moment>;
    fn list(&mut self) -> Option<Vec<i32>>;
}

/// `string`
pub enum Text {}
/// `binary`
pub enum Bytes {}
/// `int64`
pub enum Int {}
/// `date`
pub enum Date {}
/// `timestamp`
pub enum Timestamp {}
/// `list_int32`
pub enum List {}

impl Kind for Text {
    type Array = StringArray;
    type Value<'a> = Cow<'a, str>;

    fn get(array: &StringArray, row: usize) -> Cow<'_, str> {
        Cow::Borrowed(array.value(row))
    }
    fn put(value: &Cow<'_, str>, sink: &mut Sink<'_>) {
        sink.text(value);
    }
    fn own(value: Cow<'_, str>) -> Cow<'static, str> {
        Cow::Owned(value.into_owned())
    }
    fn take<'a>(source: &mut impl Source<'a>) -> Option<Cow<'a, str>> {
        source.text().map(Cow::Borrowed)
    }
}

impl Kind for Bytes {
    type Array = BinaryArray;
    type Value<'a> = Cow<'a, [u8]>;

    fn get(array: &BinaryArray, row: usize) -> Cow<'_, [u8]> {
        Cow::Borrowed(array.value(row))
    }
    fn put(value: &Cow<'_, [u8]>, sink: &mut Sink<'_>) {
        sink.bytes(value);
    }
    fn own(value: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
        Cow::Owned(value.into_owned())
    }
    fn take<'a>(source: &mut impl Source<'a>) -> Option<Cow<'a, [u8]>> {
        source.bytes().map(Cow::Borrowed)
    }
}

/// A kind whose values are copied: its array, its value and how that is made of a number there, its method of sink and source.
macro_rules! copied {
    ($kind:ident, $array:ty, $value:ty, $of:expr, $method:ident) => {
        impl Kind for $kind {
            type Array = $array;
            type Value<'a> = $value;

            fn get(array: &$array, row: usize) -> $value {
                $of(array.value(row))
            }
            fn put(value: &$value, sink: &mut Sink<'_>) {
                sink.$method(*value);
            }
            fn own(value: $value) -> $value {
                value
            }
            fn take<'a>(source: &mut impl Source<'a>) -> Option<$value> {
                source.$method()
            }
        }
    };
}

copied!(Int, Int64Array, i64, std::convert::identity, int);
copied!(Date, Date32Array, Day, Day, day);
copied!(Timestamp, TimestampMillisecondArray, Moment, Moment, moment);

impl Kind for List {
    type Array = ListArray;
    type Value<'a> = Vec<i32>;

    fn get(array: &ListArray, row: usize) -> Vec<i32> {
        let items = array.value(row);
        items.as_any().downcast_ref::<Int32Array>().map(|n| n.values().to_vec()).unwrap_or_default()
    }
    fn put(value: &Vec<i32>, sink: &mut Sink<'_>) {
        sink.list(value);
    }
    fn own(value: Vec<i32>) -> Vec<i32> {
        value
    }
    fn take<'a>(source: &mut impl Source<'a>) -> Option<Vec<i32>> {
        source.list()
    }
}

/// A column that may be null.
impl<K: Kind> Kind for Option<K> {
    type Array = K::Array;
    type Value<'a> = Option<K::Value<'a>>;

    fn get(array: &K::Array, row: usize) -> Option<K::Value<'_>> {
        (!array.is_null(row)).then(|| K::get(array, row))
    }
    fn put(value: &Option<K::Value<'_>>, sink: &mut Sink<'_>) {
        match value {
            Some(value) => K::put(value, sink),
            None => sink.null(),
        }
    }
    fn own(value: Option<K::Value<'_>>) -> Option<K::Value<'static>> {
        value.map(K::own)
    }
    fn take<'a>(source: &mut impl Source<'a>) -> Option<Option<K::Value<'a>>> {
        Some(K::take(source))
    }
}

/// A row of a table.
pub trait Record {
    /// Name of its table.
    const TABLE: &'static str;

    /// Hands every value to a sink, in the order of the columns.
    fn put(&self, sink: &mut Sink<'_>);
}

/// A row that holds its own values.
pub trait Owned: Record + Sized {
    /// All rows of a batch that was read whole.
    fn read(batch: &RecordBatch) -> Result<Vec<Self>>;
}

/// A row of a table with history.
pub trait Recorded: Owned + Clone {
    /// `recorded_from` and `recorded_to`.
    fn span(&self) -> (Moment, Option<Moment>);
    fn set_span(&mut self, from: Moment, to: Option<Moment>);
}

/// A column by its name and type.
pub struct Col<K> {
    pub name: &'static str,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Col<K> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, kind: PhantomData }
    }

    /// The column in a batch that was read with it.
    pub fn of(self, batch: &RecordBatch) -> Result<&K::Array> {
        named(batch, self.name)
    }
}

/// What the declaration of a table stands for.
macro_rules! table {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $column:ident $token:ident: $kind:ty,)* }) => {
        $(#[$about])*
        pub mod $name {
            use arrow::array::RecordBatch;

            #[allow(unused_imports, reason = "not every table has a column of every type")]
            use crate::lake::typed::{Bytes, Date, Int, List, Text, Timestamp};
            use crate::lake::columns::Sink;
            use crate::lake::typed::{Col, Kind, Owned, Record, Source};

            /// A row. No `Debug`: what is personal must not reach a text.
            #[derive(Clone, PartialEq)]
            pub struct Row<'a> {
                $($(#[$doc])* pub $column: <$kind as Kind>::Value<'a>,)*
            }

            /// The columns of a batch that was read whole.
            pub struct View<'b> {
                $($column: &'b <$kind as Kind>::Array,)*
                rows_here: usize,
            }

            $($(#[$doc])* pub const $token: Col<$kind> = Col::new(stringify!($column));)*

            impl<'b> View<'b> {
                pub fn of(batch: &'b RecordBatch) -> crate::Result<Self> {
                    Ok(Self { $($column: $token.of(batch)?,)* rows_here: batch.num_rows() })
                }

                pub fn row(&self, row: usize) -> Row<'b> {
                    Row { $($column: <$kind as Kind>::get(self.$column, row),)* }
                }

                pub fn rows(&self) -> impl Iterator<Item = Row<'b>> {
                    (0..self.rows_here).map(|row| self.row(row))
                }
            }

            impl<'a> Row<'a> {
                pub fn into_owned(self) -> Row<'static> {
                    Row { $($column: <$kind as Kind>::own(self.$column),)* }
                }

                /// A row of what a source has; `None` when a value is missing that must stand.
                pub fn of(source: &mut impl Source<'a>) -> Option<Self> {
                    Some(Self { $($column: <$kind as Kind>::take(source)?,)* })
                }
            }

            impl Record for Row<'_> {
                const TABLE: &'static str = stringify!($name);

                fn put(&self, sink: &mut Sink<'_>) {
                    $(<$kind as Kind>::put(&self.$column, sink);)*
                }
            }

            impl Owned for Row<'static> {
                fn read(batch: &RecordBatch) -> crate::Result<Vec<Self>> {
                    Ok(View::of(batch)?.rows().map(Row::into_owned).collect())
                }
            }
        }
    };
}

/// What a table with history has besides.
macro_rules! recorded {
    ($name:ident) => {
        impl crate::lake::typed::Recorded for $name::Row<'static> {
            fn span(&self) -> (crate::base::time::Moment, Option<crate::base::time::Moment>) {
                (self.recorded_from, self.recorded_to)
            }

            fn set_span(&mut self, from: crate::base::time::Moment, to: Option<crate::base::time::Moment>) {
                (self.recorded_from, self.recorded_to) = (from, to);
            }
        }
    };
}

pub(super) use {recorded, table};
