use crate::value::{Type, Value, WireType};

/// One output of a node.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Its name, as in `"node.name"`.
    pub name: &'static str,
    /// The type of its values.
    pub ty: Type,
    /// What it is.
    pub about: &'static str,
}

/// What a node gives: one value, or several named ones.
pub trait Outputs {
    /// The ports. A wire that names only the node takes the first.
    const PORTS: &'static [Port];
    /// The values, in the order of the ports.
    fn into_values(self) -> Vec<Value>;
}

impl<T: WireType> Outputs for T {
    const PORTS: &'static [Port] = &[Port { name: "out", ty: T::TYPE, about: "" }];
    fn into_values(self) -> Vec<Value> {
        vec![self.into_value()]
    }
}

/// Declares the outputs of a node that gives several values.
#[macro_export]
macro_rules! outputs {
    (
        $(#[doc = $struct_doc:literal])*
        pub struct $name:ident { $( $(#[doc = $doc:literal])* $port:ident : $ty:ty ),* $(,)? }
    ) => {
        $(#[doc = $struct_doc])*
        #[derive(Debug)]
        pub struct $name { $( $(#[doc = $doc])* pub $port: $ty, )* }

        impl $crate::Outputs for $name {
            const PORTS: &'static [$crate::Port] = &[ $( $crate::Port {
                name: stringify!($port),
                ty: <$ty as $crate::value::WireType>::TYPE,
                about: concat!($($doc),*),
            }, )* ];
            fn into_values(self) -> Vec<$crate::value::Value> {
                vec![ $( $crate::value::WireType::into_value(self.$port), )* ]
            }
        }
    };
}
