//! What a node author needs: the [`node!`](crate::node!) declaration, the [`Node`] trait, wires ([`In`]), outputs and
//! the context ([`Cx`]) of a run.

mod context;
mod failure;
mod kind;
mod outputs;
mod shape;
mod sink;
mod wire;

pub use context::{Cx, Inputs, Watcher};
pub use failure::{Blame, Failure, NodeResult};
pub use kind::{DynNode, Kind, NodeKind, Parameter, ParameterKind};
pub use outputs::{Outputs, Port};
pub use shape::{Cell, Forecast, Reach, Shape, Shapes, Thrift};
pub use sink::Sink;
pub use wire::{In, Scalar};

use crate::{
    digest::Digest,
    filesystem::Filesystem,
    value::{Image, Size, Value},
};
use std::path::PathBuf;

/// The part of a node that the [`node!`](crate::node!) declaration writes: its name and version.
pub trait Declared {
    /// The name in graph files.
    const KIND: &'static str;
    /// Part of the cache key: raise it whenever the same inputs would give another result.
    const VERSION: u32;
}

/// A node: typed wires and parameters in, values out.
///
/// `run` is pure: everything it may depend on comes through its fields and the [`Cx`], or is named by
/// [`outside`](Self::outside). That is what makes the cache right.
pub trait Node:
    Declared + serde::Serialize + serde::de::DeserializeOwned + schemars::JsonSchema + Default + Send + Sync + 'static
{
    /// What it gives: one wire type, or a struct of several made by [`outputs!`](crate::outputs!).
    type Out: Outputs;

    /// Whether it keeps all cores busy by itself. Only one such node runs at a time.
    const HEAVY: bool = false;

    /// Whether its pictures come out of a network. They are looked at then: samples that are no numbers, or a flat picture
    /// out of one that is not flat, are an error and never a result.
    const NETWORK: bool = false;

    /// Whether it has a [`sink`](Self::sink).
    const STREAMS: bool = false;

    /// Demands on the parameters that a range cannot express. Runs when the graph is checked, on every mistake of
    /// which it should report.
    fn check(&self) -> Vec<Failure> {
        Vec::new()
    }

    /// Digests of what the result depends on beside parameters and wires: the content of a file, the weights of a
    /// model.
    ///
    /// # Errors
    /// When that file or model cannot be read.
    fn outside(&self) -> NodeResult<Vec<Digest>> {
        Ok(Vec::new())
    }

    /// What the results will be and what they will cost, told from the shapes of the inputs alone. By default every
    /// output is as large as the first picture that comes in, at no cost worth telling.
    fn forecast(&self, seen: &Shapes) -> Forecast {
        Forecast::like(seen.first_picture(), Self::Out::PORTS)
    }

    /// What the results will be, as [`forecast`](Self::forecast) has it. This is asked for every node, the costs only for
    /// those that will run: a node whose costs are known to a model alone answers here without opening it.
    fn gives(&self, seen: &Shapes) -> Vec<Shape> {
        self.forecast(seen).outputs
    }

    /// How far it looks, when it can work on a part of a picture: then [`Cx::place`] tells which part it sees, and what it
    /// gives must be, but for `halo` pixels along the cut, what it would give there for the whole. By default it looks at
    /// everything.
    fn reach(&self, _seen: &Shapes) -> Option<Reach> {
        None
    }

    /// Optional wires that it does not look at, as its parameters stand: what would come by them need not be made.
    fn unread(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it computes in less than 32-bit floating point. Then, when what it gives is broken, it is asked once more
    /// with [`Cx::precise`].
    fn reduced(&self) -> bool {
        false
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// A [`Failure`] that says what is wrong, whose fault it is and what to do; make it with
    /// [`bail!`](crate::bail!).
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Self::Out>;

    /// Brings the result to the outside, and tells where it is then. This happens in every run of the graph, whether the
    /// result was computed or kept; all other nodes stay pure.
    ///
    /// # Errors
    /// As [`Node::run`].
    fn publish(&self, _result: &[Value], _files: &dyn Filesystem) -> NodeResult<Option<PathBuf>> {
        Ok(None)
    }

    /// Takes its picture in strips instead, for pictures that do not fit into memory whole: what it brings to the outside
    /// must be the same, byte by byte. The picture will have `frame` pixels; `first` is its first strip, which is given
    /// to the sink after this.
    ///
    /// # Errors
    /// As [`Node::run`].
    fn sink<'a>(&self, _: Size, _first: &Image, _: &'a dyn Filesystem) -> NodeResult<Box<dyn Sink + 'a>> {
        Err(Failure::internal("it takes no strips"))
    }
}

/// Declares a node: its documentation, version, wires and parameters with their defaults, in one place.
///
/// The doc comments become the reference page, the command line help and the form in the studio. A wire is a field of
/// type [`In<T>`](crate::In) or `Option<In<T>>`; every other field is a parameter and has a default. Ranges come from
/// `#[schemars(range(min = .., max = ..))]`.
///
/// ```
/// engine::node! {
///     /// Turns black to white.
///     pub struct Invert, version 1 {
///         /// Mask to invert.
///         mask: engine::In<engine::value::Mask>,
///         /// Share of the inverted mask in the result.
///         #[schemars(range(min = 0.0, max = 1.0))]
///         strength: f64 = 1.0,
///     }
/// }
/// assert_eq!(Invert::default().strength, 1.0);
/// ```
#[macro_export]
macro_rules! node {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, version $version:literal {
            $( $(#[$field_meta:meta])* $field:ident : $ty:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema)]
        #[serde(crate = "engine::serde", default, deny_unknown_fields)]
        #[schemars(crate = "engine::schemars")]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::node!(@default $($default)?), )* }
            }
        }

        impl $crate::Declared for $name {
            const KIND: &'static str = stringify!($name);
            const VERSION: u32 = $version;
        }
    };
    (@default) => { Default::default() };
    (@default $value:expr) => { $value };
}
