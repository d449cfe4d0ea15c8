//! A server on this machine that answers as a test wants it to.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

impl Asked {
    /// The first byte of the range that was asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
pub(crate) enum Reply {
    /// A status with headers and a body that fits.
    Status(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Whole answers to ranges, or the whole file.
    File(Vec<u8>),
    /// The file, as far as so many bytes; then the connection ends.
    Cut(Vec<u8>, usize),
    /// The whole file, whatever range was asked for.
    Whole(Vec<u8>),
    /// The file with another version in its `ETag`.
    Tagged(Vec<u8>, &'static str),
    /// A wrong `Content-Length`.
    Claims(Vec<u8>, usize),
    /// Without a length, in chunks.
    Chunked(Vec<u8>),
    /// So many bytes now and then.
    Trickle(Vec<u8>, usize, Duration),
    /// What is no HTTP.
    Nonsense,
    /// Nothing at all.
    Silence,
}

type Answers = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A server with the log of what it was asked.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answers` is given the request and how many there were before.
    pub(crate) fn new(answers: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = format!("http://{}", listener.local_addr().expect("it has one"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answers): (_, Arc<Answers>) = (asked.clone(), Arc::new(answers));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answers) = (log.clone(), answers.clone());
                thread::spawn(move || serve(stream, &log, &*answers));
            }
        });
        Self { address, asked }
    }

    /// One that always gives this file.
    pub(crate) fn of(content: &[u8]) -> Self {
        let content = content.to_vec();
        Self::new(move |_, _| Reply::File(content.clone()))
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answers: &Answers) {
    let mut lines = BufReader::new(stream.try_clone().expect("it can be shared")).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let asked = Asked { path, headers };
    let before = {
        let mut log = log.lock().expect("nobody panics with it");
        log.push(asked.clone());
        log.len() - 1
    };
    // The other side may be gone at any time.
    _ = answer(&mut stream, &asked, answers(&asked, before));
}

fn answer(stream: &mut TcpStream, asked: &Asked, reply: Reply) -> std::io::Result<()> {
    let head = |status: &str, headers: &[(&str, String)]| {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
    };
    let length = |bytes: usize| ("Content-Length", bytes.to_string());
    // Start and headers of a file or a part of it.
    let part = |content: &[u8], tag: &str| {
        let same = asked.headers.get("if-range").is_none_or(|wanted| wanted == tag);
        match asked.from().filter(|from| same && *from < content.len()) {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                let headers = [length(content.len() - from), ("Content-Range", range), ("ETag", tag.to_owned())];
                (from, head("206 Partial Content", &headers))
            }
            None => (0, head("200 OK", &[length(content.len()), ("ETag", tag.to_owned())])),
        }
    };
    match reply {
        Reply::Status(status, mut headers, body) => {
            headers.push(length(body.len()));
            stream.write_all(head(&format!("{status} Said"), &headers).as_bytes())?;
            stream.write_all(&body)
        }
        Reply::File(content) => {
            let (from, head) = part(&content, "\"one\"");
            stream.write_all(head.as_bytes())?;
            stream.write_all(&content[from..])
        }
        Reply::Tagged(content, tag) => {
            let (from, head) = part(&content, tag);
            stream.write_all(head.as_bytes())?;
            stream.write_all(&content[from..])
        }
        Reply::Cut(content, end) => {
            let (from, head) = part(&content, "\"one\"");
            stream.write_all(head.as_bytes())?;
            stream.write_all(&content[from.min(end)..end])
        }
        Reply::Whole(content) => {
            stream.write_all(head("200 OK", &[length(content.len())]).as_bytes())?;
            stream.write_all(&content)
        }
        Reply::Claims(content, bytes) => {
            stream.write_all(head("200 OK", &[length(bytes)]).as_bytes())?;
            stream.write_all(&content)
        }
        Reply::Chunked(content) => {
            stream.write_all(head("200 OK", &[("Transfer-Encoding", "chunked".to_owned())]).as_bytes())?;
            for chunk in content.chunks(1000) {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        Reply::Trickle(content, bytes, pause) => {
            let (from, head) = part(&content, "\"one\"");
            stream.write_all(head.as_bytes())?;
            for some in content[from..].chunks(bytes) {
                stream.write_all(some)?;
                thread::sleep(pause);
            }
            Ok(())
        }
        Reply::Nonsense => stream.write_all(b"this is no HTTP\r\n\r\n"),
        Reply::Silence => {
            thread::sleep(Duration::from_secs(20));
            Ok(())
        }
    }
}
