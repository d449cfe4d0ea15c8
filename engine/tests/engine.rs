//! The engine with small nodes of its own: what a run does, without any picture algorithm.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use engine::{
    Binding, Blame, Bounds, Cx, Event, Failure, How, In, Kind, MemoryStore, NoLibrary, NoStore, Node, NodeKind,
    NodeResult, Repeat, Request, Setting, Store, Subgraph, Text, World, bail, build,
    digest::Digest,
    node, outputs, run,
    value::{Image, Number, Rect, Size, Tile, Tiles, Value},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

node! {
    /// Gives a number.
    pub struct Give, version 1 {
        /// The number.
        #[schemars(range(min = 0.0, max = 100.0))]
        value: f64 = 1.0,
    }
}
impl Node for Give {
    type Out = Number;
    fn run(&self, _: &mut Cx<'_>) -> NodeResult<Number> {
        Ok(Number(self.value))
    }
}

node! {
    /// Adds two numbers.
    pub struct Add, version 1 {
        /// The first.
        a: In<Number>,
        /// The second.
        b: Option<In<Number>>,
        /// Counts as well.
        more: engine::Scalar = engine::Scalar::Given(0.0),
        /// Whether the second is left out.
        alone: bool,
    }
}
impl Node for Add {
    type Out = Number;
    fn unread(&self) -> &'static [&'static str] {
        if self.alone { &["b"] } else { &[] }
    }
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Number> {
        Ok(Number(cx.get(&self.a)? + cx.optional(&self.b)?.unwrap_or(0.0) + cx.number(&self.more)?))
    }
}

outputs! {
    /// A number halved.
    pub struct Halves {
        /// Whole part.
        whole: Number,
        /// What is left.
        rest: Number,
    }
}
node! {
    /// Halves a number.
    pub struct Halve, version 1 {
        /// The number.
        number: In<Number>,
    }
}
impl Node for Halve {
    type Out = Halves;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Halves> {
        let half = cx.get(&self.number)? / 2.0;
        Ok(Halves { whole: Number(half.floor()), rest: Number(half.fract()) })
    }
}

node! {
    /// Doubles a number and counts how often it did.
    pub struct Double, version 1 {
        /// The number.
        number: In<Number>,
    }
}
static DOUBLED: AtomicUsize = AtomicUsize::new(0);
impl Node for Double {
    type Out = Number;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Number> {
        DOUBLED.fetch_add(1, Ordering::SeqCst);
        Ok(Number(cx.get(&self.number)? * 2.0))
    }
}

node! {
    /// Fails or panics.
    pub struct Fail, version 1 {
        /// The number.
        number: In<Number>,
        /// Whether to panic.
        panic: bool,
    }
}
impl Node for Fail {
    type Out = Number;
    fn run(&self, _: &mut Cx<'_>) -> NodeResult<Number> {
        assert!(!self.panic, "ouch");
        bail!(number, "cannot take {}", 3; hint: "try {}", 4)
    }
}

node! {
    /// A grey picture.
    pub struct Grey, version 1 {
        /// Edge in pixels.
        edge: u32 = 10,
        /// Column and row of a white dot.
        dot: u32 = 0,
    }
}
impl Node for Grey {
    type Out = Image;
    fn run(&self, _: &mut Cx<'_>) -> NodeResult<Image> {
        let mut image = Image::filled(Size::new(self.edge, self.edge), &[0.5, 0.5, 0.5]);
        image.plane_mut(0)[(self.dot * self.edge + self.dot) as usize] = 1.0;
        Ok(image)
    }
}

node! {
    /// Cuts.
    pub struct Cut, version 1 {
        /// The picture.
        image: In<Image>,
    }
}
impl Node for Cut {
    type Out = Tiles;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Tiles> {
        let image = cx.get(&self.image)?;
        let frame = image.size();
        let items = Rect::grid(frame, 4).into_iter().map(|core| {
            let outer = core.grown(1, frame);
            Tile { core, outer, pixels: Arc::new(image.crop(outer)) }
        });
        Ok(Tiles { frame, items: items.collect() })
    }
}

node! {
    /// Paints a picture with the place that it is told to be at.
    pub struct Place, version 1 {
        /// The picture.
        image: In<Image>,
        /// Another one, which spans the whole picture.
        whole: Option<In<Image>>,
    }
}
static PLACED: AtomicUsize = AtomicUsize::new(0);
impl Node for Place {
    type Out = Image;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        PLACED.fetch_add(1, Ordering::SeqCst);
        let image = cx.get(&self.image)?;
        if let Some(whole) = cx.optional(&self.whole)? {
            assert_eq!(whole.size(), image.size(), "what spans the picture is cropped to the tile");
        }
        let at = cx.place(image.size());
        Ok(Image::filled(image.size(), &[at.x as f32, at.y as f32, 0.0]))
    }
}

node! {
    /// Gives a picture back.
    pub struct Shift, version 1 {
        /// The picture.
        image: In<Image>,
    }
}
impl Node for Shift {
    type Out = Image;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        Ok((*cx.get(&self.image)?).clone())
    }
}

node! {
    /// A network that breaks.
    pub struct Broken, version 1 {
        /// The picture.
        image: In<Image>,
        /// What it gives everywhere.
        gives: f64,
        /// Whether it breaks only in less than full precision.
        rough: bool,
    }
}
impl Node for Broken {
    type Out = Image;
    const NETWORK: bool = true;
    fn reduced(&self) -> bool {
        self.rough
    }
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        if self.rough && cx.precise() {
            assert!(cx.recall::<Image>(|d| d.u64(1)).is_none(), "what was kept in low precision is found in full");
            return Ok((*cx.get(&self.image)?).clone());
        }
        cx.keep(|d| d.u64(1), || Image::filled(Size::new(1, 1), &[0.0; 3]));
        // RON has no way to write what is no number.
        let gives = if self.gives < 0.0 { f32::NAN } else { self.gives as f32 };
        Ok(Image::filled(cx.get(&self.image)?.size(), &[gives; 3]))
    }
}

node! {
    /// Works in tiles, for which memory does not suffice when they are large.
    pub struct Hungry, version 1 {
        /// The number.
        number: In<Number>,
        /// Edge of its tiles.
        tile: u32 = 1024,
        /// The largest edge for which memory suffices.
        fits: u32 = 200,
    }
}
impl Node for Hungry {
    type Out = Number;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Number> {
        let edge = cx.edge(self.tile);
        if edge > self.fits {
            return Err(Failure::new(Blame::Memory, "there is no memory for a tile"));
        }
        Ok(Number(f64::from(edge)))
    }
}

node! {
    /// Waits until it is stopped.
    pub struct Wait, version 1 {
        /// The number.
        number: In<Number>,
    }
}
impl Node for Wait {
    type Out = Number;
    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Number> {
        loop {
            cx.checkpoint()?;
            cx.progress(1, 2);
            std::thread::yield_now();
        }
    }
}

static NODES: &[&dyn NodeKind] = &[
    &Kind::<Add>::NEW,
    &Kind::<Broken>::NEW,
    &Kind::<Cut>::NEW,
    &Kind::<Double>::NEW,
    &Kind::<Fail>::NEW,
    &Kind::<Give>::NEW,
    &Kind::<Grey>::NEW,
    &Kind::<Halve>::NEW,
    &Kind::<Hungry>::NEW,
    &Kind::<Place>::NEW,
    &Kind::<Repeat>::NEW,
    &Kind::<Shift>::NEW,
    &Kind::<Subgraph>::NEW,
    &Kind::<Wait>::NEW,
];

struct Files;
impl engine::Library for Files {
    fn open(&self, name: &str, _: &str) -> Result<Text, String> {
        let text = match name {
            "add.ron" => {
                r#"Graph(format: 1, inputs: {"n": Number}, outputs: {"sum": "sum"},
                   expose: {"more": (sets: ["sum.more"], help: "")},
                   nodes: {"sum": Add(a: "n", more: 0)})"#
            }
            "self.ron" => {
                r#"Graph(format: 1, inputs: {"n": Number}, outputs: {"sum": "s"},
                   nodes: {"s": Subgraph(file: "self.ron", inputs: {"n": "n"})})"#
            }
            _ => return Err(format!("there is no graph file `{name}`")),
        };
        Ok(Text { name: name.into(), text: text.into() })
    }
}

fn request(nodes: &str, outputs: &str) -> Request<'static> {
    let text = format!("Graph(format: 1, outputs: {{{outputs}}}, nodes: {{{nodes}}})");
    let file = Text { name: "test.ron".into(), text };
    Request { file, library: &Files, registry: NODES, preset: None, settings: vec![], inputs: vec![], outputs: vec![] }
}

fn number(nodes: &str, output: &str) -> f64 {
    let built = build(&request(nodes, &format!("\"out\": \"{output}\""))).unwrap();
    let outcome = run(&built.graph, World::quiet(&NoStore)).unwrap();
    match &outcome.values["out"] {
        Value::Number(number) => *number,
        other => panic!("{other:?}"),
    }
}

fn errors(nodes: &str) -> String {
    build(&request(nodes, "\"out\": \"x\"")).unwrap_err().to_string()
}

#[test]
fn numbers_travel_over_wires_and_ports() {
    let nodes =
        r#""seven": Give(value: 7), "x": Halve(number: "seven"), "y": Add(a: "x.rest", b: "x.whole", more: "seven")"#;
    assert_eq!(number(nodes, "y"), 10.5);
    assert_eq!(number(nodes, "x.rest"), 0.5);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let all = errors(
        r#"
        "x": Add(a: "nowhere", more: "x"),
        "b": Giv(value: 1),
        "c": Give(valu: 1),
        "d": Give(value: 500),
        "e": Give(value: NaN),
        "f": Add(),
        "g": Halve(number: "pic"),
        "pic": Grey(),
        "pic": Grey(edge: "wide"),
        "#,
    );
    for part in [
        "unknown-wire",
        "cycle",
        "unknown-kind",
        "did you mean `Give`?",
        "unknown-field",
        "did you mean `value`?",
        "out-of-range",
        "finite",
        "missing-wire",
        "type",
        "duplicate-node",
        "`edge`",
    ] {
        assert!(all.contains(part), "{part} is missing in\n{all}");
    }
    assert!(all.contains("test.ron:2:21: error[unknown-wire]"), "{all}");
}

#[test]
fn subgraphs_and_repeats_are_put_in_place() {
    let sub = r#""one": Give(), "x": Subgraph(file: "add.ron", inputs: {"n": "one"}, set: {"more": 5})"#;
    assert_eq!(number(sub, "x"), 6.0);
    assert_eq!(number(sub, "x.sum"), 6.0);
    let repeat = r#""one": Give(), "x": Repeat(file: "add.ron", inputs: {"n": "one"}, carry: "n", times: 3,
                    set: {"more": 2}, later: {"more": Times(10)})"#;
    assert_eq!(number(repeat, "x"), 1.0 + 2.0 + 20.0 + 200.0);
    assert!(errors(r#""one": Give(), "x": Subgraph(file: "self.ron", inputs: {"n": "one"})"#).contains("recursion"));
    assert!(errors(r#""one": Give(), "x": Subgraph(file: "no.ron")"#).contains("there is no graph file `no.ron`"));
    let inner = Setting { target: "x.more".into(), value: "9".into(), origin: "--set x.more=9".into() };
    let built = build(&Request { settings: vec![inner], ..request(sub, "\"out\": \"x\"") }).unwrap();
    assert!(built.graph.text().contains("more: 9"), "{}", built.graph.text());
}

#[test]
fn settings_point_at_where_they_were_typed() {
    let wrong = |target: &str, value: &str| {
        let setting = Setting { target: target.into(), value: value.into(), origin: "--set".into() };
        let request = Request { settings: vec![setting], ..request(r#""x": Give()"#, "\"out\": \"x\"") };
        build(&request).unwrap_err().to_string()
    };
    assert!(wrong("x.value", "900").contains("--set:1:1: error[out-of-range]"));
    assert!(wrong("x.valu", "1").contains("unknown-field"));
    assert!(wrong("y.value", "1").contains("unknown-node"));
    assert!(wrong("value", "1").contains("unknown-parameter"));
    assert!(wrong("x.value", "high").contains("value"));
}

#[test]
fn failures_and_panics_are_the_nodes_error() {
    let fails = |panic: bool| {
        let nodes = format!(r#""one": Give(), "x": Fail(number: "one", panic: {panic})"#);
        let built = build(&request(&nodes, "\"out\": \"x\"")).unwrap();
        run(&built.graph, World::quiet(&NoStore)).unwrap_err()
    };
    let failed = fails(false);
    assert_eq!((failed.id.as_str(), failed.failure.blame), ("x", Blame::Graph));
    assert_eq!(failed.failure.hint.as_deref(), Some("try 4"));
    assert_eq!(&failed.sources[failed.label.span.source].text[failed.label.span.range.clone()], "\"one\"");
    let panicked = fails(true);
    assert_eq!(panicked.failure.blame, Blame::Internal);
    assert!(panicked.failure.message.contains("ouch"));
}

#[test]
fn a_broken_network_is_an_error_and_is_not_kept() {
    let store = MemoryStore::new(1 << 20);
    for (gives, told) in [("-1", "300 samples that are no numbers"), ("0", "flat picture")] {
        for tiled in ["pic", "cut"] {
            let nodes = format!(
                r#""pic": Grey(edge: 10), "cut": Cut(image: "pic"), "net": Broken(image: "{tiled}", gives: {gives})"#
            );
            let built = build(&request(&nodes, "\"out\": \"net\"")).unwrap();
            for _ in 0..2 {
                let error = run(&built.graph, World::quiet(&store)).unwrap_err();
                assert_eq!((error.id.as_str(), error.failure.blame), ("net", Blame::Model), "{error}");
                assert_eq!(error.tile.is_some(), tiled == "cut");
                assert!(tiled == "cut" || error.failure.message.contains(told), "{error}");
            }
        }
    }
}

#[test]
fn a_network_that_breaks_in_low_precision_runs_once_more_in_full() {
    let store = MemoryStore::new(1 << 20);
    let nodes = r#""pic": Grey(edge: 10), "net": Broken(image: "pic", gives: -1, rough: true)"#;
    let built = build(&request(nodes, "\"out\": \"net\"")).unwrap();
    let outcome = run(&built.graph, World::quiet(&store)).unwrap();
    let Value::Image(image) = &outcome.values["out"] else { panic!("no picture") };
    assert!(image.samples().iter().all(|sample| sample.is_finite()));
}

#[test]
fn tiles_are_halved_until_memory_suffices_and_the_size_is_remembered() {
    let hungry = |fits: u32| {
        let nodes = format!(r#""one": Give(value: 1), "work": Hungry(number: "one", fits: {fits})"#);
        build(&request(&nodes, "\"out\": \"work\"")).unwrap().graph
    };
    let outcome = run(&hungry(200), World::quiet(&NoStore)).unwrap();
    assert!(matches!(outcome.values["out"], Value::Number(128.0)), "{:?}", outcome.values);
    // The next run begins where this one ended, and does not try what is known not to go.
    let bounds = Bounds { thrift: outcome.thrift, ..Bounds::default() };
    let outcome = run(&hungry(5000), World { bounds, ..World::quiet(&NoStore) }).unwrap();
    assert!(matches!(outcome.values["out"], Value::Number(128.0)), "{:?}", outcome.values);
    // Below the floor nothing is tried any more.
    let error = run(&hungry(20), World::quiet(&NoStore)).unwrap_err();
    assert_eq!(error.failure.blame, Blame::Memory);
}

#[test]
fn only_what_an_output_needs_runs() {
    let nodes = r#""one": Give(), "x": Add(a: "one"), "idle": Fail(number: "one")"#;
    let built = build(&request(nodes, "\"out\": \"x\"")).unwrap();
    assert!(built.warnings.to_string().contains("nothing needs `idle`"));
    let outcome = run(&built.graph, World::quiet(&NoStore)).unwrap();
    assert_eq!(outcome.report.iter().map(|ran| ran.id.as_str()).collect::<Vec<_>>(), ["one", "x"]);
}

#[test]
fn what_a_node_does_not_look_at_does_not_run() {
    let graph = |alone: bool, value: u32| {
        let nodes = format!(
            r#""a": Give(value: 1), "c": Give(value: {value}), "b": Fail(number: "c"),
               "x": Add(a: "a", b: "b", alone: {alone})"#
        );
        build(&request(&nodes, r#""out": "x""#)).unwrap()
    };
    let (quiet, store) = (graph(true, 2), MemoryStore::new(1 << 20));
    assert!(quiet.warnings.items.is_empty(), "it is wired: {:?}", quiet.warnings);
    let outcome = run(&quiet.graph, World::quiet(&store)).unwrap();
    assert!(matches!(outcome.values["out"], Value::Number(1.0)));
    assert_eq!(outcome.report.iter().map(|ran| ran.id.as_str()).collect::<Vec<_>>(), ["a", "x"]);
    let again = run(&graph(true, 3).graph, World::quiet(&store)).unwrap();
    assert!(again.report.iter().all(|ran| ran.how != How::Computed), "it is no part of the key");
    assert!(run(&graph(false, 2).graph, World::quiet(&store)).is_err());
}

#[test]
fn nothing_is_computed_twice() {
    let store = MemoryStore::new(1 << 20);
    let go = |value: u32, name: &str| {
        let nodes = format!(r#""{name}": Give(value: {value}), "x": Double(number: "{name}")"#);
        let built = build(&request(&nodes, "\"out\": \"x\"")).unwrap();
        let before = DOUBLED.load(Ordering::SeqCst);
        run(&built.graph, World::quiet(&store)).unwrap();
        DOUBLED.load(Ordering::SeqCst) - before
    };
    assert_eq!(go(1, "one"), 1);
    assert_eq!(go(1, "one"), 0);
    assert_eq!(go(1, "renamed"), 0, "names are not in the key");
    assert_eq!(go(2, "one"), 1, "parameters are");
}

#[test]
fn nodes_are_mapped_over_tiles() {
    let nodes = r#""pic": Grey(edge: 10), "cut": Cut(image: "pic"), "x": Place(image: "cut", whole: "pic")"#;
    let built = build(&request(nodes, "\"out\": \"x\"")).unwrap();
    let store = MemoryStore::new(1 << 20);
    let before = PLACED.load(Ordering::SeqCst);
    let outcome = run(&built.graph, World::quiet(&store)).unwrap();
    assert_eq!(PLACED.load(Ordering::SeqCst) - before, 9);
    let Value::Tiles(tiles) = &outcome.values["out"] else { panic!("tiles expected") };
    assert_eq!(tiles.frame, Size::new(10, 10));
    for tile in &tiles.items {
        assert_eq!((tile.pixels.plane(0)[0], tile.pixels.plane(1)[0]), (tile.outer.x as f32, tile.outer.y as f32));
    }
    let again = run(&built.graph, World::quiet(&store)).unwrap();
    assert_eq!(PLACED.load(Ordering::SeqCst) - before, 9, "every tile was kept");
    assert!(again.report.iter().any(|ran| ran.id == "x" && ran.how == How::Kept));
}

#[test]
fn only_tiles_whose_inputs_changed_run_again() {
    let store = MemoryStore::new(1 << 20);
    let go = |x: u32| {
        // A white dot on a grey picture: its tile, and those whose halo shows it.
        let nodes = format!(r#""pic": Grey(edge: 12, dot: {x}), "cut": Cut(image: "pic"), "x": Shift(image: "cut")"#);
        let built = build(&request(&nodes, "\"out\": \"x\"")).unwrap();
        let outcome = run(&built.graph, World::quiet(&store)).unwrap();
        outcome.report.iter().find(|ran| ran.id == "x").map(|ran| ran.how).unwrap()
    };
    assert_eq!(go(5), How::Mapped { computed: 9, kept: 0 });
    assert_eq!(go(6), How::Mapped { computed: 1, kept: 8 }, "the dot moved within one tile");
    assert_eq!(go(5), How::Kept);
}

#[test]
fn what_nothing_needs_any_more_is_not_even_read() {
    let store = MemoryStore::new(1 << 20);
    let nodes = r#""one": Give(value: 77), "two": Add(a: "one"), "x": Add(a: "two")"#;
    let built = build(&request(nodes, "\"out\": \"x\"")).unwrap();
    run(&built.graph, World::quiet(&store)).unwrap();
    let again = run(&built.graph, World::quiet(&store)).unwrap();
    assert_eq!(again.report.iter().map(|ran| (ran.id.as_str(), ran.how)).collect::<Vec<_>>(), [("x", How::Kept)]);
    assert_eq!(again.spared.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn the_same_bytes_stop_the_cascade() {
    let store = MemoryStore::new(1 << 20);
    let go = |value: f64| {
        let nodes = format!(r#""one": Give(value: {value}), "half": Halve(number: "one"), "x": Add(a: "half")"#);
        let built = build(&request(&nodes, "\"out\": \"x\"")).unwrap();
        let report = run(&built.graph, World::quiet(&store)).unwrap().report;
        report.into_iter().map(|ran| (ran.id, ran.how)).collect::<Vec<_>>()
    };
    go(8.0);
    let again = go(9.0);
    assert_eq!(again.last(), Some(&("x".to_owned(), How::Kept)), "half of 9 is 4 whole, as is half of 8");
}

#[test]
fn a_run_can_be_stopped() {
    let built = build(&request(r#""one": Give(), "x": Wait(number: "one")"#, "\"out\": \"x\"")).unwrap();
    let cancel = AtomicBool::new(false);
    let stop_at_progress = |event: Event<'_>| {
        if matches!(event, Event::Progress { .. }) {
            cancel.store(true, Ordering::SeqCst);
        }
    };
    let stopped =
        run(&built.graph, World { cancel: &cancel, listen: &stop_at_progress, ..World::quiet(&NoStore) }).unwrap_err();
    assert_eq!(stopped.failure.blame, Blame::Cancelled);
}

#[test]
fn inputs_are_bound_and_outputs_drained() {
    let file = r#"Graph(format: 1, inputs: {"n": Number, "m": Optional(Number)}, outputs: {"out": "x"},
                  nodes: {"x": Add(a: "n", b: "m")})"#;
    let open = Request { file: Text { name: "f".into(), text: file.into() }, library: &NoLibrary, ..request("", "") };
    let built = build(&open).unwrap();
    let missing = run(&built.graph, World::quiet(&NoStore)).unwrap_err();
    assert!(missing.failure.message.contains("nothing is given for the input `n`"));
    let bind = |name: &str| Binding {
        name: name.into(),
        kind: "Give".into(),
        fields: "(value: 4)".into(),
        origin: name.into(),
    };
    let drain = Binding { name: "out".into(), kind: "Halve".into(), fields: "()".into(), origin: "-o".into() };
    let bound = Request { inputs: vec![bind("n")], outputs: vec![drain], ..open };
    let outcome = run(&build(&bound).unwrap().graph, World::quiet(&NoStore)).unwrap();
    assert!(matches!(outcome.values["out"], Value::Number(2.0)));
    let wrong = Request { inputs: vec![bind("k")], ..bound };
    assert!(build(&wrong).unwrap_err().to_string().contains("the graph has no input `k`"));
}

#[test]
fn contents_that_vanish_are_computed_again() {
    /// Forgets every content that it promised.
    struct Liar(MemoryStore);
    impl Store for Liar {
        fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
            self.0.outputs(action)
        }
        fn has(&self, digest: Digest) -> bool {
            self.0.has(digest)
        }
        fn content(&self, _: Digest) -> Option<Value> {
            None
        }
        fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
            self.0.put(action, outputs, cost);
        }
    }
    let built = build(&request(r#""one": Give(), "x": Add(a: "one")"#, "\"out\": \"x\"")).unwrap();
    let store = Liar(MemoryStore::new(1 << 20));
    for _ in 0..2 {
        let outcome = run(&built.graph, World::quiet(&store)).unwrap();
        assert!(matches!(outcome.values["out"], Value::Number(1.0)));
    }
}

#[test]
fn a_failure_says_what_to_do() {
    let failure = Failure::input("broken").hint("mend it").at("path");
    assert_eq!(failure.to_string(), "broken");
    assert_eq!(failure.field.as_deref(), Some("path"));
}
