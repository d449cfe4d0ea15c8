//! Watched folders: watchers that are killed, files that are still written, folders that go away. A suite of the command line,
//! as it runs the program.
//!
//! `UPWEAVE_FAULTS=full` takes as many files as promised; else fewer, so that the suite stays fast.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// A graph that takes no time.
const PLAIN: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "sharp"}, nodes: {
    "sharp": Sharpen(image: "photo", amount: 0.1),
})"#;

/// Whoever waits longer waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(60);

fn full() -> bool {
    std::env::var_os("UPWEAVE_FAULTS").is_some_and(|value| value == "full")
}

/// A folder with a folder to watch and a graph.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("plain.ron"), PLAIN).unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upweave"));
        command.args(["watch", "in", "--graph", "plain.ron", "--settle", "0.3"]).args(arguments);
        command.current_dir(self.0.path()).env("UPWEAVE_CACHE", self.at("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn watch(&self, arguments: &[&str]) -> Watcher {
        Watcher(self.command(arguments).spawn().unwrap())
    }

    fn once(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&[&["--once"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
    }

    /// Waits until so many results are there.
    fn wait(&self, results: usize) {
        let (mut last, mut there) = (Instant::now(), 0);
        while there < results {
            thread::sleep(Duration::from_millis(50));
            let now = files(&self.at("out")).len();
            if now > there {
                (last, there) = (Instant::now(), now);
            }
            assert!(last.elapsed() < PATIENCE, "{there} of {results} results");
        }
    }
}

/// A watcher that is gone when the test is over.
struct Watcher(Child);

impl Watcher {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn signal(&mut self, name: &str) -> Option<i32> {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The pictures in a folder and those inside.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| ["png", "bmp"].iter().any(|known| extension == *known)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The bytes of a picture, each number its own.
fn picture(number: usize) -> Vec<u8> {
    let (width, height) = (24 + (number / 65_536) as u32, 16);
    let shade = |x: u32, y: u32| image::Rgb([(x * 9 + y) as u8, (number / 256) as u8, (number % 256) as u8]);
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(width, height, shade).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Puts a file in its place at once.
fn drop_in(place: &Place, name: &str, bytes: &[u8]) {
    let beside = place.at("on-its-way");
    fs::write(&beside, bytes).unwrap();
    fs::create_dir_all(place.at("in").join(name).parent().unwrap()).unwrap();
    fs::rename(beside, place.at("in").join(name)).unwrap();
}

/// Whether a result shows what a picture shows, which sharpening hardly changes.
fn shows(result: &Path, number: usize) -> bool {
    let (result, from) = (image::open(result).unwrap().to_rgb8(), picture(number));
    let from = image::load_from_memory(&from).unwrap().to_rgb8();
    result.dimensions() == from.dimensions()
        && result.pixels().zip(from.pixels()).all(|(a, b)| a.0[1] == b.0[1] && a.0[2] == b.0[2])
}

#[test]
fn every_file_has_its_effect_once_however_often_the_watcher_is_killed() {
    let (all, restarts) = if full() { (1000, 20) } else { (60, 6) };
    let place = Place::new();
    let begun = Instant::now();
    let writer = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..all {
                drop_in(&place, &format!("{}/p{number}.png", number % 7), &picture(number));
                thread::sleep(Duration::from_millis(if full() { 20 } else { 10 }));
            }
        });
        for restart in 0..restarts {
            let mut watcher = place.watch(&["-o", "out"]);
            thread::sleep(Duration::from_millis(700 + 97 * (restart % 7)));
            if restart % 2 == 0 {
                watcher.kill();
            } else {
                assert_eq!(watcher.signal("-TERM"), Some(143));
            }
        }
        writer.join()
    });
    writer.unwrap();
    let _watcher = place.watch(&["-o", "out"]);
    place.wait(all);
    println!("{all} files, {restarts} restarts, {:?}", begun.elapsed());
    // What would be made twice would be made now.
    thread::sleep(Duration::from_secs(2));
    let results = files(&place.at("out"));
    assert_eq!(results.len(), all, "a file had its effect twice");
    for number in 0..all {
        let result = place.at(&format!("out/{}/p{number}.x1.png", number % 7));
        assert!(shows(&result, number), "{}", result.display());
    }
}

#[test]
fn only_whole_files_are_read() {
    let each = if full() { 9 } else { 2 };
    let place = Place::new();
    let _watcher = place.watch(&["-o", "out"]);
    let at = |name: &str| place.at("in").join(name);
    let trickle = |name: &str, bytes: &[u8]| {
        let mut file = File::create(at(name)).unwrap();
        for part in bytes.chunks(bytes.len() / 12 + 1) {
            file.write_all(part).unwrap();
            file.flush().unwrap();
            thread::sleep(Duration::from_millis(100));
        }
    };
    thread::scope(|scope| {
        for n in 0..each {
            // Written slowly; as a format of which every part is a picture, too.
            scope.spawn(move || trickle(&format!("slow{n}.png"), &picture(n)));
            scope.spawn(move || {
                let whole = image::load_from_memory(&picture(100 + n)).unwrap();
                let mut bytes = std::io::Cursor::new(Vec::new());
                whole.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
                trickle(&format!("slow{n}.bmp"), &bytes.into_inner());
            });
            // Its room taken first, and filled long after it came to rest.
            scope.spawn(move || {
                let bytes = picture(200 + n);
                let mut file = File::create(at(&format!("room{n}.png"))).unwrap();
                file.set_len(bytes.len() as u64).unwrap();
                thread::sleep(Duration::from_millis(900));
                file.write_all(&bytes).unwrap();
            });
            // Copied, then cut, then whole.
            scope.spawn(move || {
                let bytes = picture(300 + n);
                let name = at(&format!("cut{n}.png"));
                fs::write(&name, &bytes[..bytes.len() - 20]).unwrap();
                thread::sleep(Duration::from_millis(200));
                File::options().write(true).open(&name).unwrap().set_len(30).unwrap();
                thread::sleep(Duration::from_millis(500));
                fs::write(&name, &bytes).unwrap();
            });
            // As rsync does it, and as browsers do.
            scope.spawn(move || {
                for (temporary, name) in [(format!(".sync{n}.png.Xy7z"), "sync"), (format!("load{n}.png.part"), "load")]
                {
                    trickle(&temporary, &picture(400 + n));
                    fs::rename(at(&temporary), at(&format!("{name}{n}.png"))).unwrap();
                }
            });
        }
        // Two who write the same file in turn; the last one wins.
        scope.spawn(move || {
            for turn in 0..6 {
                fs::write(at("both.png"), picture(500 + turn % 2)).unwrap();
                thread::sleep(Duration::from_millis(110));
            }
        });
        scope.spawn(move || fs::write(at("empty.png"), "").unwrap());
    });
    let all = each * 6 + 1;
    place.wait(all);
    thread::sleep(Duration::from_secs(2));
    let results = files(&place.at("out"));
    assert_eq!(results.len(), all, "{results:?}");
    let result = |name: &str| place.at("out").join(name);
    for n in 0..each {
        assert!(shows(&result(&format!("room{n}.x1.png")), 200 + n));
        assert!(shows(&result(&format!("cut{n}.x1.png")), 300 + n));
        assert!(shows(&result(&format!("sync{n}.x1.png")), 400 + n));
        assert!(shows(&result(&format!("load{n}.x1.png")), 400 + n));
        let slow = [format!("slow{n}.x1.png"), format!("slow{n}.x1-1.png")];
        let [png, bmp] = slow.map(|name| shows(&result(&name), n));
        assert!(png != bmp, "one of both shows the other picture");
    }
    assert!(shows(&result("both.x1.png"), 501));
}

#[test]
fn a_burst_and_a_folder_that_comes_and_goes_lose_nothing() {
    let (all, times, away) = if full() { (20_000, 20, 2000) } else { (300, 3, 300) };
    let place = Place::new();
    let _watcher = place.watch(&["-o", "out", "--rescan", "5"]);
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    for number in 0..all {
        fs::write(place.at(&format!("in/p{number}.png")), picture(number)).unwrap();
    }
    let written = begun.elapsed();
    place.wait(all);
    println!("{all} files written in {written:?}, done after {:?}", begun.elapsed());
    for time in 0..times {
        fs::rename(place.at("in"), place.at("away")).unwrap();
        thread::sleep(Duration::from_millis(away));
        fs::write(place.at(&format!("away/late{time}.png")), picture(all + 2 * time)).unwrap();
        fs::rename(place.at("away"), place.at("in")).unwrap();
        let begun = Instant::now();
        place.wait(all + 2 * time + 1);
        // And what comes once it is back is heard of.
        fs::write(place.at(&format!("in/later{time}.png")), picture(all + 2 * time + 1)).unwrap();
        place.wait(all + 2 * time + 2);
        println!("back for {:?}", begun.elapsed());
    }
    assert_eq!(files(&place.at("out")).len(), all + 2 * times);
}

#[test]
fn a_watcher_that_polls_misses_nothing() {
    let place = Place::new();
    let _watcher = place.watch(&["-o", "out", "--poll=0.5"]);
    for number in 0..20 {
        drop_in(&place, &format!("{number}/p.png"), &picture(number));
    }
    place.wait(20);
}

#[test]
fn settings_beside_the_pictures_are_followed() {
    let place = Place::new();
    fs::create_dir(place.at("in/large")).unwrap();
    fs::write(
        place.at("large.ron"),
        PLAIN.replace("Sharpen(image: \"photo\", amount: 0.1)", "Resize(image: \"photo\", scale: 3)"),
    )
    .unwrap();
    fs::write(place.at("in/large/.upweave.ron"), r#"(graph: "../../large.ron")"#).unwrap();
    fs::write(place.at("in/large/b.ron"), r#"(set: { "sharp.scale": 2 })"#).unwrap();
    fs::write(place.at("in/bad.ron"), "(graf: 1)").unwrap();
    for (number, name) in ["a.png", "large/a.png", "large/b.png", "bad.png"].iter().enumerate() {
        drop_in(&place, name, &picture(number));
    }
    let output = place.once(&["-o", "out", "--failed", "failed"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("bad.ron:1:"), "{told}");
    let size = |name: &str| image::image_dimensions(place.at(name)).unwrap();
    assert_eq!(size("out/a.x1.png"), (24, 16));
    assert_eq!(size("out/large/a.x3.png"), (72, 48));
    assert_eq!(size("out/large/b.x2.png"), (48, 32));
    assert!(place.at("failed/bad.png").exists());
    // Once the settings make sense, so does the picture.
    fs::write(place.at("in/bad.ron"), "(set: {})").unwrap();
    fs::rename(place.at("failed/bad.png"), place.at("in/bad.png")).unwrap();
    assert_eq!(place.once(&["-o", "out"]).status.code(), Some(0));
    assert_eq!(size("out/bad.x1.png"), (24, 16));
}

#[test]
fn finished_pictures_go_where_they_are_sent() {
    let place = Place::new();
    drop_in(&place, "sub/good.png", &picture(1));
    drop_in(&place, "bad.png", &picture(2)[..40]);
    let arguments = ["-o", "in/out", "--done", "in/done", "--failed", "in/failed"];
    assert_eq!(place.once(&arguments).status.code(), Some(3));
    for name in ["in/out/sub/good.x1.png", "in/done/sub/good.png", "in/failed/bad.png"] {
        assert!(place.at(name).exists(), "{name}");
    }
    assert!(!place.at("in/sub/good.png").exists() && !place.at("in/bad.png").exists());
    // The same again is nothing new, but goes the same way; another one of that name is.
    drop_in(&place, "sub/good.png", &picture(1));
    assert_eq!(place.once(&arguments).status.code(), Some(0));
    assert!(place.at("in/done/sub/good-1.png").exists());
    assert_eq!(files(&place.at("in/out")).len(), 1);
    drop_in(&place, "sub/good.png", &picture(3));
    assert_eq!(place.once(&arguments).status.code(), Some(0));
    assert!(shows(&place.at("in/out/sub/good.x1-1.png"), 3));
}

#[test]
fn what_was_there_may_be_left_alone() {
    let place = Place::new();
    drop_in(&place, "old.png", &picture(1));
    let _watcher = place.watch(&["-o", "out", "--existing", "ignore"]);
    let ledger = place.at("out/.upweave-watch.jsonl");
    let begun = Instant::now();
    while !fs::read_to_string(&ledger).is_ok_and(|text| text.contains("old.png")) {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    drop_in(&place, "new.png", &picture(2));
    place.wait(1);
    assert!(place.at("out/new.x1.png").exists());
    // A second watcher of the same results would do everything twice.
    let second = place.once(&["-o", "out"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another watcher"));
}

#[test]
fn nothing_is_made_again_after_a_touch_or_in_another_place() {
    let place = Place::new();
    drop_in(&place, "a.png", &picture(1));
    assert_eq!(place.once(&["-o", "out"]).status.code(), Some(0));
    let result = place.at("out/a.x1.png");
    // Whoever takes the results away need not fear that they come back.
    fs::remove_file(&result).unwrap();
    File::open(place.at("in/a.png")).unwrap().set_modified(SystemTime::now()).unwrap();
    assert_eq!(place.once(&["-o", "out"]).status.code(), Some(0));
    assert!(!result.exists());
    // Another recipe is other work.
    assert_eq!(place.once(&["-o", "out", "--set", "sharp.amount=0.3"]).status.code(), Some(0));
    assert!(result.exists());
}

#[test]
fn each_frame_has_its_effect_once() {
    let frames = if full() { 40 } else { 12 };
    let movie = |first: u8| {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        for number in 0..frames {
            let shade = image::Rgba([number * 6, first, 255 - number * 6, 255]);
            encoder.encode_frame(image::Frame::new(image::RgbaImage::from_pixel(20, 12, shade))).unwrap();
        }
        drop(encoder);
        bytes
    };
    let place = Place::new();
    let arguments = ["-o", "out", "--frames", "--done", "done"];
    drop_in(&place, "sub/a.gif", &movie(0));
    drop_in(&place, "still.png", &picture(1));
    // Killed while it is at it, as often as it takes.
    for restart in 0..if full() { 20 } else { 4 } {
        let mut watcher = place.watch(&arguments);
        thread::sleep(Duration::from_millis(450 + 60 * restart));
        watcher.kill();
    }
    assert_eq!(place.once(&arguments).status.code(), Some(0));
    let mut all: Vec<PathBuf> = (1..=frames).map(|n| place.at(&format!("out/sub/a.x1.f{n:04}.png"))).collect();
    all.push(place.at("out/still.x1.png"));
    all.sort();
    assert_eq!(files(&place.at("out")), all, "a frame is missing, or had its effect twice");
    let mut done = fs::read_dir(place.at("done/sub")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(done.next().unwrap(), "a.gif");
    // What lies there again in the same form is known; taken-away results do not come back.
    fs::remove_file(&all[3]).unwrap();
    drop_in(&place, "sub/a.gif", &movie(0));
    let told = place.once(&arguments);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains(&format!("0 done, {frames} there already")) && !all[3].exists(), "{told}");
    // Another content is other work, and only some frames of it are wanted.
    drop_in(&place, "b.gif", &movie(9));
    assert_eq!(place.once(&["-o", "out", "--frames=2-3"]).status.code(), Some(0));
    let of_b: Vec<_> = files(&place.at("out")).into_iter().filter(|path| path.ends_with("b.x1.f0002.png")).collect();
    assert!(of_b.len() == 1 && place.at("out/b.x1.f0003.png").exists() && !place.at("out/b.x1.f0001.png").exists());
}

#[test]
fn watchers_that_feed_each_other_come_to_an_end() {
    let place = Place::new();
    drop_in(&place, "a.png", &picture(1));
    // The other watcher does something else.
    fs::write(place.at("other.ron"), PLAIN.replace("0.1", "0.2")).unwrap();
    let there = || place.once(&["-o", "out"]);
    let back = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upweave"));
        command.args(["watch", "out", "-o", "in", "--graph", "other.ron", "--settle", "0.3", "--once"]);
        command.current_dir(place.0.path()).env("UPWEAVE_CACHE", place.at("cache")).output().unwrap()
    };
    assert_eq!(there().status.code(), Some(0));
    assert_eq!(back().status.code(), Some(0));
    let refused = there();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(told.contains("a.x1.x1.png") && told.contains("has gone through this graph"), "{told}");
    // No round adds anything more.
    assert_eq!((back().status.code(), there().status.code()), (Some(0), Some(0)));
    assert_eq!((files(&place.at("in")).len(), files(&place.at("out")).len()), (2, 1));
}
