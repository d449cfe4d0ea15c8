use crate::value::WireType;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, marker::PhantomData};

/// Key in a field's schema that tells the type of the wire that it takes.
pub(crate) const WIRE: &str = "x-wire";

/// A wire: names the node (or `"node.port"`) whose value comes in.
pub struct In<T> {
    source: String,
    carries: PhantomData<fn() -> T>,
}

impl<T> In<T> {
    /// A wire from a node, or from one of its ports as `"node.port"`.
    pub fn from(source: impl Into<String>) -> Self {
        Self { source: source.into(), carries: PhantomData }
    }

    /// What stands in the graph file; empty when the wire is missing.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl<T> Default for In<T> {
    fn default() -> Self {
        Self::from("")
    }
}

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        Self::from(self.source.clone())
    }
}

impl<T> std::fmt::Debug for In<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "In({:?})", self.source)
    }
}

impl<T> Serialize for In<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de, T> Deserialize<'de> for In<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl<T: WireType> JsonSchema for In<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("In{}", T::TYPE).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-wire": T::TYPE.name() })
    }
}

/// A number that is either written down or comes over a wire from a node that gives a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Written down.
    Given(f64),
    /// The node (or `"node.port"`) that gives it.
    Wire(String),
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::Given(value)
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(value) => serializer.serialize_f64(*value),
            Self::Wire(source) => serializer.serialize_str(source),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or the name of a node that gives one")
            }
            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Given(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Given(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Given(value as f64))
            }
            fn visit_str<E>(self, source: &str) -> Result<Scalar, E> {
                Ok(Scalar::Wire(source.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"], "x-wire": "Number" })
    }
}
