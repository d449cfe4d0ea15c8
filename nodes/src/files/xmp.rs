//! The little of XMP that speaks of the pixels, and where the picture was taken. XMP is text that many programs write in many
//! forms; what is not found is left alone.

use engine::value::Size;

/// The packet of a picture that stands upright and has this size, without small pictures of what was before.
pub(super) fn fitting(packet: &str, size: Size) -> String {
    let mut text = packet.to_owned();
    for (name, value) in [
        ("tiff:Orientation", "1".to_owned()),
        ("tiff:ImageWidth", size.width.to_string()),
        ("tiff:ImageLength", size.height.to_string()),
        ("exif:PixelXDimension", size.width.to_string()),
        ("exif:PixelYDimension", size.height.to_string()),
    ] {
        text = with_value(&text, name, &value);
    }
    // A recipe is that of the picture that was.
    without_element(&without_element(&text, "xmp:Thumbnails"), RECIPE)
}

const REST: &str = "xmpNote:HasExtendedXMP";
const EMPTY: &str = "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
                     </rdf:RDF></x:xmpmeta>";
const END: &str = "</rdf:RDF>";

/// The name of what did not fit into the first part of a packet in JPEG.
pub(super) fn rest_of(packet: &str) -> Option<&str> {
    let (_, start, end) =
        attribute(packet, REST, 0).or_else(|| element(packet, REST).map(|(at, start, end, _)| (at, start, end)))?;
    Some(packet[start..end].trim()).filter(|name| name.len() == 32)
}

/// A packet that names the part that has everything.
pub(super) fn naming_rest(name: &str) -> String {
    with_description(
        EMPTY,
        &format!("<rdf:Description rdf:about=\"\" xmlns:xmpNote=\"http://ns.adobe.com/xmp/note/\" {REST}=\"{name}\"/>"),
    )
}

/// The packet in two parts as one, when the second is built as such parts are.
pub(super) fn joined(first: &str, rest: &str) -> Option<String> {
    // What we have split has all of it in the second part.
    if rest_of(first).is_some_and(|name| naming_rest(name) == first) {
        return Some(rest.to_owned());
    }
    let start = rest.find("<rdf:RDF").and_then(|at| Some(at + rest[at..].find('>')? + 1))?;
    let inside = rest.get(start..rest.rfind(END)?)?;
    let first = without_element(&without_attribute(first, REST), REST);
    first.contains(END).then(|| with_description(&first, inside))
}

/// The packet with one more description; a new one where it is none.
fn with_description(packet: &str, description: &str) -> String {
    let packet = if packet.contains(END) { packet } else { EMPTY };
    let (before, after) = packet.split_at(packet.rfind(END).unwrap_or(packet.len()));
    format!("{before}{description}{after}")
}

/// Keywords of texts in PNG files, the names that XMP has for them, and how it lists their values.
const TEXTS: [(&str, &str, &str); 6] = [
    ("Title", "dc:title", "Alt"),
    ("Author", "dc:creator", "Seq"),
    ("Description", "dc:description", "Alt"),
    ("Copyright", "dc:rights", "Alt"),
    ("Source", "dc:source", ""),
    ("Software", "xmp:CreatorTool", ""),
];

/// The packet with what texts of a PNG file say, where it does not say it already; nothing when they say nothing.
pub(super) fn with_texts(packet: Option<&str>, texts: &[(String, String)]) -> Option<String> {
    let mut told = String::new();
    for (keyword, name, list) in TEXTS {
        let known = packet.is_some_and(|packet| packet.contains(name));
        let Some((_, text)) = texts.iter().find(|(other, _)| other == keyword && !known) else { continue };
        let text = escaped(text);
        told.push_str(&match list {
            "" => format!("<{name}>{text}</{name}>"),
            "Alt" => format!("<{name}><rdf:Alt><rdf:li xml:lang=\"x-default\">{text}</rdf:li></rdf:Alt></{name}>"),
            list => format!("<{name}><rdf:{list}><rdf:li>{text}</rdf:li></rdf:{list}></{name}>"),
        });
    }
    let description = || {
        format!(
            "<rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
             xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\">{told}</rdf:Description>"
        )
    };
    (!told.is_empty()).then(|| with_description(packet.unwrap_or_default(), &description()))
}

const RECIPE: &str = "upweave:recipe";
const SPACE: &str = "https://upweave.org/ns/recipe/";

/// The packet with a recipe in it; a new one where there is none.
pub(super) fn with_recipe(packet: Option<&str>, recipe: &str) -> String {
    let told = format!(
        "<rdf:Description xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" rdf:about=\"\" \
         xmlns:upweave=\"{SPACE}\"><{RECIPE}>{}</{RECIPE}></rdf:Description>",
        escaped(recipe)
    );
    with_description(packet.unwrap_or_default(), &told)
}

/// The recipe in a packet.
pub(super) fn recipe(packet: &str) -> Option<String> {
    let (_, start, end, _) = element(packet, RECIPE)?;
    // The last, so that nothing is read twice.
    let plain = packet[start..end].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&apos;", "'").replace("&amp;", "&"))
}

fn escaped(text: &str) -> String {
    // XML has no place for other signs of control.
    let text: String = text.chars().filter(|c| !c.is_control() || ['\n', '\r', '\t'].contains(c)).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The packet without places.
pub(super) fn without_gps(packet: &str) -> String {
    let mut text = packet.to_owned();
    let mut from = 0;
    while let Some(at) = text[from..].find("exif:GPS").map(|at| from + at) {
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
        let less = without_element(&without_attribute(&text, &name), &name);
        // What is neither of both is left, and passed over.
        from = if less.len() < text.len() { 0 } else { at + name.len() };
        text = less;
    }
    text
}

/// Where the value of an attribute lies: behind its first quote, before its second.
fn attribute(text: &str, name: &str, from: usize) -> Option<(usize, usize, usize)> {
    let mut from = from;
    loop {
        let at = from + text.get(from..)?.find(name)?;
        from = at + name.len();
        let rest = text[from..].trim_start();
        let Some(rest) = rest.strip_prefix('=').map(str::trim_start) else { continue };
        let Some(quote) = rest.chars().next().filter(|c| ['"', '\''].contains(c)) else { continue };
        let start = text.len() - rest.len() + 1;
        let end = start + text[start..].find(quote)?;
        return Some((at, start, end));
    }
}

/// Where an element lies, and what is in it.
fn element(text: &str, name: &str) -> Option<(usize, usize, usize, usize)> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let at = text.find(&open)?;
    let start = at + open.len();
    let end = start + text[start..].find(&close)?;
    Some((at, start, end, end + close.len()))
}

fn with_value(text: &str, name: &str, value: &str) -> String {
    if let Some((_, start, end)) = attribute(text, name, 0) {
        return format!("{}{value}{}", &text[..start], &text[end..]);
    }
    match element(text, name) {
        Some((_, start, end, _)) => format!("{}{value}{}", &text[..start], &text[end..]),
        None => text.to_owned(),
    }
}

fn without_attribute(text: &str, name: &str) -> String {
    match attribute(text, name, 0) {
        Some((at, _, end)) => format!("{}{}", text[..at].trim_end(), &text[end + 1..]),
        None => text.to_owned(),
    }
}

fn without_element(text: &str, name: &str) -> String {
    match element(text, name) {
        Some((at, _, _, end)) => format!("{}{}", &text[..at], &text[end..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"<rdf:Description tiff:Orientation="6" exif:GPSLatitude="50,1N" dc:format='image/jpeg'>
<exif:PixelXDimension>640</exif:PixelXDimension><exif:GPSLongitude>8E</exif:GPSLongitude>
<xmp:Thumbnails><rdf:Alt>small</rdf:Alt></xmp:Thumbnails></rdf:Description>"#;

    #[test]
    fn what_speaks_of_pixels_is_told_anew() {
        let text = fitting(PACKET, Size::new(1280, 960));
        assert!(text.contains(r#"tiff:Orientation="1""#), "{text}");
        assert!(text.contains("<exif:PixelXDimension>1280</exif:PixelXDimension>"), "{text}");
        assert!(!text.contains("small") && text.contains("dc:format='image/jpeg'"), "{text}");
    }

    #[test]
    fn places_go() {
        let text = without_gps(PACKET);
        assert!(!text.contains("GPS"), "{text}");
        assert!(text.contains(r#"<rdf:Description tiff:Orientation="6" dc:format"#), "{text}");
    }

    #[test]
    fn a_recipe_is_put_in_and_found_and_goes_with_the_picture() {
        let told = r#"{"a": "<b> & &lt; 'c'"}"#;
        for packet in [None, Some("<x:xmpmeta><rdf:RDF><rdf:Description/></rdf:RDF></x:xmpmeta>"), Some("nonsense")] {
            let with = with_recipe(packet, told);
            assert_eq!(recipe(&with).as_deref(), Some(told));
            assert_eq!(recipe(&fitting(&with, Size::new(1, 1))), None);
        }
        assert_eq!(recipe("<upweave:recipe>"), None);
    }

    #[test]
    fn texts_become_what_they_are_called_here() {
        let texts = [("Title", "A & B"), ("Author", "Jo"), ("Odd", "x")].map(|(k, t)| (k.to_owned(), t.to_owned()));
        let packet = with_texts(None, &texts).unwrap();
        assert!(packet.contains(">A &amp; B</rdf:li></rdf:Alt></dc:title>") && packet.contains("<rdf:li>Jo</rdf:li>"));
        assert_eq!(with_texts(Some(&packet), &texts), None);
        assert_eq!(with_texts(None, &texts[2..]), None);
    }

    #[test]
    fn parts_are_joined() {
        let name = "0123456789ABCDEF0123456789ABCDEF";
        let first = format!("<rdf:RDF><rdf:Description a:b=\"c\" xmpNote:HasExtendedXMP=\"{name}\"/></rdf:RDF>");
        assert_eq!(rest_of(&first), Some(name));
        let whole = joined(&first, "<x><rdf:RDF xmlns:rdf=\"r\"><rdf:Description/></rdf:RDF></x>").unwrap();
        assert_eq!(whole, "<rdf:RDF><rdf:Description a:b=\"c\"/><rdf:Description/></rdf:RDF>");
        assert_eq!(joined(&naming_rest(name), "<all/>").as_deref(), Some("<all/>"));
        assert_eq!(joined(&first, "nonsense"), None);
    }

    #[test]
    fn nonsense_ends() {
        let whole = PACKET.repeat(2);
        for cut in 0..whole.len() {
            if let Some(part) = whole.get(..cut) {
                fitting(part, Size::new(1, 1));
                without_gps(part);
            }
        }
        without_gps("exif:GPS exif:GPS= exif:GPSx=\" <exif:GPS>");
    }
}
