use super::{Cx, Failure, Forecast, Node, NodeResult, Outputs, Port, Reach, Shape, Shapes, Sink, wire::WIRE};
use crate::{
    digest::Digest,
    filesystem::Filesystem,
    value::{Image, Size, Type, Value},
};
use serde_json::Value as Json;
use std::{marker::PhantomData, path::PathBuf};

/// A kind of node, as the registry holds it.
pub trait NodeKind: Send + Sync {
    /// The name in graph files.
    fn name(&self) -> &'static str;
    /// Part of the cache key.
    fn version(&self) -> u32;
    /// The outputs.
    fn ports(&self) -> &'static [Port];
    /// See [`Node::HEAVY`].
    fn heavy(&self) -> bool;
    /// See [`Node::NETWORK`].
    fn network(&self) -> bool;
    /// See [`Node::STREAMS`].
    fn streams(&self) -> bool;
    /// JSON schema of the fields, with documentation, defaults and ranges.
    fn schema(&self) -> Json;
    /// Parses the fields from RON: `(name: value, ..)`.
    ///
    /// # Errors
    /// Those of ron, with positions in `fields`.
    fn parse(&self, fields: &str) -> Result<Box<dyn DynNode>, ron::error::SpannedError>;

    /// The documentation.
    fn about(&self) -> String {
        text(&self.schema()["description"])
    }

    /// The fields, in the order of the declaration.
    fn parameters(&self) -> Vec<Parameter> {
        let schema = self.schema();
        let fields = schema["properties"].as_object();
        fields.into_iter().flatten().map(|(name, field)| Parameter::new(name, field, &schema)).collect()
    }
}

/// A node with its parameters, of any kind.
pub trait DynNode: Send + Sync {
    /// The parameters and wires as a tree.
    fn fields(&self) -> Json;
    /// See [`Node::check`].
    fn check(&self) -> Vec<Failure>;
    /// See [`Node::outside`].
    ///
    /// # Errors
    /// Those of the node.
    fn outside(&self) -> NodeResult<Vec<Digest>>;
    /// See [`Node::forecast`].
    fn forecast(&self, seen: &Shapes) -> Forecast;
    /// See [`Node::gives`].
    fn gives(&self, seen: &Shapes) -> Vec<Shape>;
    /// See [`Node::reach`].
    fn reach(&self, seen: &Shapes) -> Option<Reach>;
    /// See [`Node::unread`].
    fn unread(&self) -> &'static [&'static str];
    /// See [`Node::reduced`].
    fn reduced(&self) -> bool;
    /// See [`Node::run`].
    ///
    /// # Errors
    /// Those of the node.
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Vec<Value>>;
    /// See [`Node::publish`].
    ///
    /// # Errors
    /// Those of the node.
    fn publish(&self, result: &[Value], files: &dyn Filesystem) -> NodeResult<Option<PathBuf>>;
    /// See [`Node::sink`].
    ///
    /// # Errors
    /// Those of the node.
    fn sink<'a>(&self, frame: Size, first: &Image, files: &'a dyn Filesystem) -> NodeResult<Box<dyn Sink + 'a>>;
}

impl<T: Node> DynNode for T {
    fn fields(&self) -> Json {
        // Serialising plain structs of numbers, texts and maps with text keys cannot fail.
        serde_json::to_value(self).unwrap_or(Json::Null)
    }
    fn check(&self) -> Vec<Failure> {
        Node::check(self)
    }
    fn outside(&self) -> NodeResult<Vec<Digest>> {
        Node::outside(self)
    }
    fn forecast(&self, seen: &Shapes) -> Forecast {
        Node::forecast(self, seen)
    }
    fn gives(&self, seen: &Shapes) -> Vec<Shape> {
        Node::gives(self, seen)
    }
    fn reach(&self, seen: &Shapes) -> Option<Reach> {
        Node::reach(self, seen)
    }
    fn unread(&self) -> &'static [&'static str] {
        Node::unread(self)
    }
    fn reduced(&self) -> bool {
        Node::reduced(self)
    }
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Vec<Value>> {
        Node::run(self, cx).map(Outputs::into_values)
    }
    fn publish(&self, result: &[Value], files: &dyn Filesystem) -> NodeResult<Option<PathBuf>> {
        Node::publish(self, result, files)
    }
    fn sink<'a>(&self, frame: Size, first: &Image, files: &'a dyn Filesystem) -> NodeResult<Box<dyn Sink + 'a>> {
        Node::sink(self, frame, first, files)
    }
}

/// The registry entry of a node type: `&Kind::<Resize>::NEW`.
pub struct Kind<T>(PhantomData<fn() -> T>);

impl<T> Kind<T> {
    /// The entry.
    pub const NEW: Self = Self(PhantomData);
}

impl<T: Node> NodeKind for Kind<T> {
    fn name(&self) -> &'static str {
        T::KIND
    }
    fn version(&self) -> u32 {
        T::VERSION
    }
    fn ports(&self) -> &'static [Port] {
        T::Out::PORTS
    }
    fn heavy(&self) -> bool {
        T::HEAVY
    }
    fn network(&self) -> bool {
        T::NETWORK
    }
    fn streams(&self) -> bool {
        T::STREAMS
    }
    fn schema(&self) -> Json {
        schemars::schema_for!(T).into()
    }
    fn parse(&self, fields: &str) -> Result<Box<dyn DynNode>, ron::error::SpannedError> {
        crate::load::dialect().from_str::<T>(fields).map(|node| Box::new(node) as Box<dyn DynNode>)
    }
}

/// One field of a node, as its documentation shows it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name in graph files.
    pub name: String,
    /// The documentation.
    pub about: String,
    /// What it takes.
    pub kind: ParameterKind,
    /// The type of the wire that it takes; together with [`ParameterKind::Number`] the wire is an alternative.
    pub wire: Option<Type>,
    /// Whether it may be left out although it has no default.
    pub optional: bool,
    /// What it is when it is left out.
    pub default: Json,
    /// Least value.
    pub minimum: Option<f64>,
    /// Greatest value.
    pub maximum: Option<f64>,
    /// Whether it only names something whose content [`Node::outside`] digests, such as a path. The cache does not look
    /// at it then. Declared by `#[schemars(extend("x-outside" = true))]`.
    pub names_outside: bool,
}

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterKind {
    /// The name of a node.
    Wire,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// One of several names, each with its documentation.
    Choice(Vec<(String, String)>),
    /// A list or map.
    Other,
}

impl Parameter {
    fn new(name: &str, field: &Json, schema: &Json) -> Self {
        let definition = resolve(field, schema);
        let types: Vec<&str> = match &definition["type"] {
            Json::String(one) => vec![one],
            Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        let wire = definition[WIRE].as_str().and_then(Type::from_name);
        let choices = choices(definition);
        let kind = if !choices.is_empty() {
            ParameterKind::Choice(choices)
        } else if types.contains(&"number") {
            ParameterKind::Number
        } else if wire.is_some() {
            ParameterKind::Wire
        } else if types.contains(&"integer") {
            ParameterKind::Integer
        } else if types.contains(&"boolean") {
            ParameterKind::Flag
        } else if types.contains(&"string") {
            ParameterKind::Text
        } else {
            ParameterKind::Other
        };
        let nullable = types.contains(&"null") || field["anyOf"].as_array().is_some_and(|any| any.iter().any(is_null));
        let limit = |key: &str| field[key].as_f64().or_else(|| definition[key].as_f64());
        Self {
            name: name.to_owned(),
            about: text(if field["description"].is_string() {
                &field["description"]
            } else {
                &definition["description"]
            }),
            kind,
            wire,
            optional: nullable,
            default: field["default"].clone(),
            minimum: limit("minimum"),
            maximum: limit("maximum"),
            names_outside: field["x-outside"] == true,
        }
    }

    /// Whether it is a wire that must be there.
    pub fn required_wire(&self) -> bool {
        self.kind == ParameterKind::Wire && !self.optional
    }
}

fn is_null(schema: &Json) -> bool {
    schema["type"] == "null"
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Follows `$ref`, and the one alternative of an `anyOf` that is not null.
fn resolve<'a>(field: &'a Json, schema: &'a Json) -> &'a Json {
    if let Some(path) = field["$ref"].as_str() {
        return schema.pointer(path.trim_start_matches('#')).unwrap_or(field);
    }
    match field["anyOf"].as_array() {
        Some(any) => any.iter().find(|one| !is_null(one)).map_or(field, |one| resolve(one, schema)),
        None => field,
    }
}

/// The names of an enumeration: `enum` where no variant is documented, `oneOf` with a `const` each where one is.
fn choices(definition: &Json) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for value in definition["enum"].as_array().into_iter().flatten() {
        found.push((text(value), String::new()));
    }
    for one in definition["oneOf"].as_array().into_iter().flatten() {
        let about = text(&one["description"]);
        match &one["const"] {
            Json::Null => found.extend(choices(one)),
            name => found.push((text(name), about)),
        }
    }
    found
}
