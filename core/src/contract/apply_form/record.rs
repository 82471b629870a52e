//! How the form's structs are declared: one line a field, with its element. From it follow the making of the struct
//! from checked values, which cannot fail once the check has passed, and its part in the digest.

use serde::{Deserialize, Serialize};

use super::digest::{Canonical, Encoding};
use super::values::{Value, Values};
use crate::time::{LocalDate, LocalDateTime};

/// A name and, where the sender gives one, the code that goes with it as the attribute `code`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coded {
    pub code: Option<String>,
    /// Empty where an optional field has a code only.
    pub name: String,
}

/// How a type is made of a field; none where a required one is absent or not of its form.
pub(super) trait FromValue: Sized {
    fn from_value(value: Option<Value>) -> Option<Self>;
}

/// How a struct is made of an element's fields.
pub(super) trait FromValues: Sized {
    fn from_values(values: Values) -> Option<Self>;
}

/// Declares the struct of one element, how it is made and how it is digested. Its `Debug` shows no content. Fields
/// are stored in their order: new ones go at the end.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $element:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// The contract's names of these fields.
            #[cfg(test)]
            pub(super) const ELEMENTS: &[&str] = &[$($element),*];
        }

        impl super::record::FromValues for $name {
            fn from_values(mut values: super::values::Values) -> Option<Self> {
                Some(Self {
                    $($field: super::record::FromValue::from_value(values.take($element))?,)*
                })
            }
        }

        impl super::digest::Canonical for $name {
            fn encode(&self, out: &mut super::digest::Encoding) {
                out.open();
                $(out.field($element, &self.$field);)*
                out.close();
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}
pub(super) use record;

impl std::fmt::Debug for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coded").finish_non_exhaustive()
    }
}

impl Canonical for Coded {
    fn encode(&self, out: &mut Encoding) {
        out.open();
        out.field("code", &self.code);
        out.field("name", &self.name);
        out.close();
    }
}

impl FromValue for String {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::Text(text) => Some(text),
            Value::Coded(_) | Value::Texts(_) | Value::Nodes(_) => None,
        }
    }
}

impl FromValue for Coded {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::Coded(coded) => Some(coded),
            Value::Text(_) | Value::Texts(_) | Value::Nodes(_) => None,
        }
    }
}

macro_rules! from_text {
    ($($name:ty: $read:expr;)*) => {
        $(impl FromValue for $name {
            fn from_value(value: Option<Value>) -> Option<Self> {
                let read: fn(&str) -> Option<Self> = $read;
                read(&String::from_value(value)?)
            }
        })*
    };
}
from_text! {
    LocalDateTime: |text| LocalDateTime::parse(text).ok();
    LocalDate: |text| LocalDate::parse(text).ok();
    u32: |text| text.parse().ok();
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(None),
            some => T::from_value(some).map(Some),
        }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(Vec::new()),
            Some(Value::Texts(texts)) => Some(texts),
            Some(_) => None,
        }
    }
}

impl<T: FromValues> FromValue for Vec<T> {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(Vec::new()),
            Some(Value::Nodes(nodes)) => nodes.into_iter().map(T::from_values).collect(),
            Some(_) => None,
        }
    }
}
