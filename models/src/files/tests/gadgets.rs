//! Pickles and zips that attack whoever loads them. Python would run a command for each; here each is refused by one message.

use super::*;

/// The file that the commands would write.
const MARK: &str = "/tmp/upweave-gadget-was-run";

/// A global by the opcode of protocol 0.
fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// A text of protocol 2.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A call of a name with one text.
fn call(module: &str, name: &str, argument: &str) -> Vec<u8> {
    [b"\x80\x02", &global(module, name)[..], &text(argument), b"\x85R."].concat()
}

/// A name by the opcode of protocol 4, its texts in front.
fn stacked(module: &str, name: &str) -> Vec<u8> {
    [b"\x80\x04", &text(module)[..], &text(name), b"\x93"].concat()
}

/// A zip of stored entries.
pub(super) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    packed(entries, 0)
}

fn packed(entries: &[(&str, &[u8])], method: u16) -> Vec<u8> {
    let (mut out, mut directory) = (vec![], vec![]);
    for (name, data) in entries {
        let at = out.len() as u32;
        let sizes = [[0; 4], (data.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        let common = [&method.to_le_bytes()[..], &[0; 4], &sizes, &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        out.extend([b"PK\x03\x04\x14\0\0\0", &common[..], name.as_bytes(), data].concat());
        directory.extend(
            [b"PK\x01\x02\x14\0\x14\0\0\0", &common[..], &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat(),
        );
    }
    let (start, count) = (out.len() as u32, (entries.len() as u16).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &start.to_le_bytes(), &[0; 2]].concat());
    out
}

/// Pickles that would do something; what each is, and what its refusal says.
fn pickles() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let command = format!("touch {MARK}");
    let python = format!("open('{MARK}', 'w')");
    let quoted = format!("S'{command}'\n");
    let system = global("os", "system");
    let join = |parts: &[&[u8]]| parts.concat();
    vec![
        ("os.system, protocol 0", join(&[&system, b"(", quoted.as_bytes(), b"tR."]), "`os.system`"),
        ("posix.system", join(&[&global("posix", "system"), b"(", quoted.as_bytes(), b"tR."]), "`posix.system`"),
        ("nt.system", join(&[&global("nt", "system"), b"(", quoted.as_bytes(), b"tR."]), "`nt.system`"),
        ("os.system, protocol 2", call("os", "system", &command), "`os.system`"),
        ("os.system by STACK_GLOBAL", join(&[&stacked("os", "system"), &text(&command), b"\x85R."]), "`os.system`"),
        (
            "names out of the memo",
            join(&[
                b"\x80\x04",
                &text("os"),
                b"\x940",
                &text("system"),
                b"\x940h\0h\x01\x93",
                &text(&command),
                b"\x85R.",
            ]),
            "`os.system`",
        ),
        ("a name by a number", join(&[b"\x80\x04K\x01K\x02\x93."]), "something that is no text"),
        ("eval", call("builtins", "eval", &python), "`builtins.eval`"),
        ("eval of Python 2", call("__builtin__", "eval", &python), "`__builtin__.eval`"),
        ("exec", call("builtins", "exec", &python), "`builtins.exec`"),
        ("compile", call("builtins", "compile", &python), "`builtins.compile`"),
        ("__import__", call("builtins", "__import__", "os"), "`builtins.__import__`"),
        ("getattr", call("builtins", "getattr", "system"), "`builtins.getattr`"),
        ("open", call("builtins", "open", MARK), "`builtins.open`"),
        ("subprocess.Popen", call("subprocess", "Popen", &command), "`subprocess.Popen`"),
        ("subprocess.check_output", call("subprocess", "check_output", &command), "`subprocess.check_output`"),
        ("pty.spawn", call("pty", "spawn", &command), "`pty.spawn`"),
        ("runpy", call("runpy", "_run_code", &python), "`runpy._run_code`"),
        ("importlib", call("importlib", "import_module", "os"), "`importlib.import_module`"),
        ("ctypes", call("ctypes", "CDLL", "libc.so.6"), "`ctypes.CDLL`"),
        ("a pickle in a pickle", call("pickle", "loads", "cos\nsystem\n"), "`pickle.loads`"),
        ("a checkpoint in a checkpoint", call("torch", "load", MARK), "`torch.load`"),
        ("torch.hub", call("torch.hub", "load", "someone/repo"), "`torch.hub.load`"),
        ("numpy", call("numpy.testing._private.utils", "runstring", &python), "runstring`"),
        ("marshal", call("marshal", "loads", "code"), "`marshal.loads`"),
        ("a function of code", call("types", "FunctionType", "code"), "`types.FunctionType`"),
        ("methodcaller", call("operator", "methodcaller", "system"), "`operator.methodcaller`"),
        ("partial", call("functools", "partial", "system"), "`functools.partial`"),
        ("copyreg", call("copyreg", "_reconstructor", "x"), "`copyreg._reconstructor`"),
        ("a dotted name in a known module", call("torch._utils", "os.system", &command), "`torch._utils.os.system`"),
        ("webbrowser", call("webbrowser", "open", "http://localhost"), "`webbrowser.open`"),
        ("shutil", call("shutil", "rmtree", MARK), "`shutil.rmtree`"),
        ("INST", join(&[b"(", quoted.as_bytes(), b"ios\nsystem\n."]), "a class of its own"),
        ("OBJ", join(&[b"(", &system, quoted.as_bytes(), b"o."]), "`os.system`"),
        ("OBJ of a known name", join(&[b"(", &global("collections", "OrderedDict"), b"o."]), "a class of its own"),
        ("NEWOBJ", join(&[b"\x80\x02", &system, &text(&command), b"\x85\x81."]), "`os.system`"),
        ("NEWOBJ_EX", join(&[b"\x80\x04", &global("collections", "OrderedDict"), b")}\x92."]), "a class of its own"),
        ("BUILD of a name", join(&[b"\x80\x02", &global("torch", "Size"), b"}b."]), "the inside of an object"),
        ("BUILD of a row", b"\x80\x02)}b.".to_vec(), "the inside of an object"),
        ("a dictionary of a text", call("collections", "OrderedDict", "x"), "something else than pairs"),
        ("EXT1", b"\x80\x02\x82\x01)R.".to_vec(), "a registered extension"),
        ("EXT4", b"\x80\x02\x84\x01\0\0\0)R.".to_vec(), "a registered extension"),
        ("PERSID", b"Pos.system\n.".to_vec(), "outside of the file by a text"),
        ("BINPERSID", join(&[b"\x80\x02", &text("os.system"), b"Q."]), "no storage"),
        ("memory of others", b"\x80\x05\x97.".to_vec(), "memory outside"),
        ("a call of a text", join(&[b"\x80\x02", &text("os.system"), b")R."]), "no name"),
        (
            "a call of what a call gave",
            join(&[b"\x80\x02", &global("_codecs", "encode"), &text("x"), b"\x85R", &text(&command), b"\x85R."]),
            "no name",
        ),
        ("a storage by itself", call("torch", "FloatStorage", "x"), "a storage by itself"),
        (
            "a command beside the weights",
            join(&[b"\x80\x02}(", &text("weight"), b"N", &text("x"), &system, &text(&command), b"\x85Ru."]),
            "`os.system`",
        ),
        ("a whole model", call("torch.nn.modules.container", "Sequential", "x"), "state_dict"),
    ]
}

#[test]
fn nothing_is_executed() {
    _ = std::fs::remove_file(MARK);
    let pickles = pickles();
    assert!(pickles.len() >= 30);
    for (name, pickle, part) in &pickles {
        let inside = zipped(&[("archive/data.pkl", pickle), ("archive/version", b"3\n")]);
        let message = message(&inside);
        assert!(message.contains(part) && !message.contains('\n'), "{name}: {message}");
        // The same without the zip; there a known but useless pickle ends at its first value.
        let bare = super::message(pickle);
        assert!(bare.starts_with("model file `model`: ") && !bare.contains('\n'), "{name}: {bare}");
        // And where old checkpoints have their weights.
        let first = [b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.", &pickle[..]].concat();
        assert!(super::message(&first).contains(part), "{name}: {}", super::message(&first));
    }
    assert!(!std::path::Path::new(MARK).exists());
}

#[test]
fn zips_stay_in_themselves() {
    let empty = b"\x80\x02}.";
    let inner = zipped(&[("archive/data.pkl", empty)]);
    for (name, file, part) in [
        ("slip", zipped(&[("../data.pkl", empty)]), "would leave the archive"),
        ("slip inside", zipped(&[("archive/data.pkl", empty), ("archive/../../x", b"")]), "would leave the archive"),
        ("absolute", zipped(&[("/etc/data.pkl", empty)]), "would leave the archive"),
        ("Windows", zipped(&[("C:\\x\\data.pkl", empty)]), "would leave the archive"),
        ("nested", zipped(&[("archive/data.pkl", &inner)]), "another zip"),
        ("a zip around a zip", zipped(&[("model.pth", &inner)]), "name the model file inside"),
        ("two pickles", zipped(&[("a/data.pkl", empty), ("b/data.pkl", empty)]), "not one `data.pkl`"),
        ("the same twice", zipped(&[("a/data.pkl", empty), ("a/data.pkl", empty)]), "twice"),
        ("compressed", packed(&[("a/data.pkl", empty)], 8), "compressed"),
        ("a program", zipped(&[("a/data.pkl", empty), ("a/code/x.py", b"")]), "TorchScript"),
        ("big-endian", zipped(&[("a/data.pkl", empty), ("a/byteorder", b"big")]), "highest byte first"),
        ("no tensors", zipped(&[("a/data.pkl", empty)]), "no tensors"),
    ] {
        let message = message(&file);
        assert!(message.contains(part), "{name}: {message}");
    }
}
