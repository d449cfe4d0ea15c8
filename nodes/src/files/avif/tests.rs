use super::*;
use crate::{files, limits::Limits};
use engine::{
    Blame,
    value::{Image, SampleDepth},
};

// Made with libavif 1.4 and aom, another program than the one that reads them here.
const GRADIENT: &[u8] = include_bytes!("../../../tests/data/gradient.avif");

fn decoded(file: &[u8]) -> Image {
    files::decode("a.avif", file, &Limits::LOCAL, 0).unwrap()
}

fn refused(file: &[u8]) -> engine::Failure {
    files::decode("a.avif", file, &Limits::LOCAL, 0).map(|image| image.size()).unwrap_err()
}

fn packed(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32 + 8).to_be_bytes()[..], name, data].concat()
}

/// A file of items (kind, bytes, properties from 1), of which the first is the picture.
#[derive(Default)]
struct Made {
    items: Vec<(&'static [u8; 4], Vec<u8>, Vec<u8>)>,
    properties: Vec<Vec<u8>>,
    references: Vec<Vec<u8>>,
}

impl Made {
    fn item(mut self, kind: &'static [u8; 4], data: &[u8], properties: &[u8]) -> Self {
        self.items.push((kind, data.to_vec(), properties.to_vec()));
        self
    }

    fn property(mut self, name: &[u8; 4], data: &[u8]) -> Self {
        self.properties.push(packed(name, data));
        self
    }

    fn size(self, width: u32, height: u32) -> Self {
        self.property(b"ispe", &[&[0; 4], &width.to_be_bytes()[..], &height.to_be_bytes()].concat())
    }

    fn refers(mut self, kind: &[u8; 4], from: u16, to: &[u16]) -> Self {
        let words = [&[from, to.len() as u16], to].concat();
        self.references.push(packed(kind, &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>()));
        self
    }

    fn file(&self) -> Vec<u8> {
        let mut kinds = (self.items.len() as u32).to_be_bytes().to_vec();
        kinds.drain(..2);
        let (mut places, mut said, mut data) = (kinds.clone(), vec![], vec![]);
        said.extend((self.items.len() as u32).to_be_bytes());
        for (index, (kind, bytes, properties)) in self.items.iter().enumerate() {
            let id = (index as u16 + 1).to_be_bytes();
            kinds.extend(packed(b"infe", &[&[2, 0, 0, 0], &id[..], &[0, 0], &kind[..], b"\0"].concat()));
            // Bytes lie in the box of the container, from its start.
            let place = [data.len() as u32, bytes.len() as u32];
            places.extend([&id[..], &[0, 1, 0, 0, 0, 1]].concat());
            places.extend(place.iter().flat_map(|number| number.to_be_bytes()));
            said.extend([&id[..], &[properties.len() as u8], properties].concat());
            data.extend(bytes);
        }
        let lists = [
            packed(b"pitm", &[0, 0, 0, 0, 0, 1]),
            packed(b"iinf", &[&[0; 4], &kinds[..]].concat()),
            packed(b"iloc", &[&[1, 0, 0, 0, 0x44, 0], &places[..]].concat()),
            packed(b"idat", &data),
            packed(b"iref", &[&[0; 4], &self.references.concat()[..]].concat()),
            packed(
                b"iprp",
                &[packed(b"ipco", &self.properties.concat()), packed(b"ipma", &[&[0; 4], &said[..]].concat())].concat(),
            ),
        ];
        [packed(b"ftyp", b"mif1\0\0\0\0avif"), packed(b"meta", &[&[0; 4], &lists.concat()[..]].concat())].concat()
    }
}

/// The picture of AV1 in the file, of 21 x 13 pixels.
fn pixels() -> Vec<u8> {
    let container = Container::parse(GRADIENT).unwrap();
    container.data(container.primary).unwrap().into_owned()
}

fn sample(picture: &Image, channel: usize, x: usize, y: usize, most: f32) -> usize {
    (picture.plane(channel)[y * picture.size().width as usize + x] * most).round() as usize
}

fn wanted(x: usize, y: usize) -> [usize; 3] {
    [(x * 11 + y) % 256, y * 17 % 256, x * y * 3 % 256]
}

#[test]
fn pixels_are_those_that_were_packed() {
    let picture = decoded(GRADIENT);
    assert_eq!((picture.size(), picture.channels()), (Size::new(21, 13), 3));
    assert_eq!((picture.metadata.depth, &picture.metadata.icc), (SampleDepth::Eight, &None));
    let grey = decoded(include_bytes!("../../../tests/data/gradient-grey-12.avif"));
    assert!(grey.metadata.grey && grey.metadata.depth == SampleDepth::Sixteen);
    for (x, y) in (0..21 * 13).map(|i| (i % 21, i / 21)) {
        assert_eq!([0, 1, 2].map(|channel| sample(&picture, channel, x, y, 255.0)), wanted(x, y));
        assert_eq!(sample(&grey, 0, x, y, 4095.0), (x * 301 + y * 57) % 4096);
    }
}

#[test]
fn colours_of_few_samples_are_spread() {
    // 10 bits, four pixels of one colour, an odd width.
    let picture = decoded(include_bytes!("../../../tests/data/smooth-10.avif"));
    assert_eq!((picture.size(), picture.metadata.depth), (Size::new(63, 40), SampleDepth::Sixteen));
    for (x, y) in (0..63 * 40).map(|i| (i % 63, i / 63)) {
        let wanted = [200 + x * 10, 900 - y * 12, 300 + x * 4 + y * 5];
        for (channel, wanted) in wanted.into_iter().enumerate() {
            let seen = sample(&picture, channel, x, y, 1023.0);
            assert!(seen.abs_diff(wanted) <= 10, "{x} {y}: {seen} for {wanted}");
        }
    }
}

#[test]
fn colours_are_straightened() {
    let picture = decoded(include_bytes!("../../../tests/data/gradient-premultiplied.avif"));
    assert_eq!(picture.channels(), 4);
    for x in 4..20 {
        let alpha = x * 12 % 256;
        assert_eq!(sample(&picture, 3, x, 0, 255.0), alpha);
        let (seen, wanted) = (picture.plane(0)[x] * 255.0, (x * 11 % 256) as f32);
        assert!((seen - wanted).abs() <= 500.0 / alpha as f32 + 2.0, "{x}: {seen} for {wanted}");
    }
}

#[test]
fn what_lies_beside_is_read() {
    // Turned by its container, with the orientation of EXIF left as a copy of that.
    let file = include_bytes!("../../../tests/data/gradient-told.avif");
    let picture = decoded(file);
    assert_eq!(picture.size(), Size::new(13, 21));
    assert_eq!(picture.metadata.xmp.as_deref(), Some(&b"<x:xmpmeta/>"[..]));
    assert_eq!(picture.metadata.icc.as_ref().map(|icc| &icc[16..20]), Some(&b"RGB "[..]));
    let exif = picture.metadata.exif.clone().unwrap();
    assert!(exif.windows(7).any(|word| word == b"Upweave"));
    let turned = Orientation::from_exif_chunk(&exif);
    assert!(matches!(turned, None | Some(Orientation::NoTransforms)), "{turned:?}");
    // Half the range, half the columns of colour: what libavif sees there, of the lossy picture as it lies in the file.
    for ((x, y), seen) in [((12, 0), [6, 0, 0]), ((7, 5), [61, 85, 75])] {
        for (channel, seen) in seen.into_iter().enumerate() {
            let ours = sample(&picture, channel, x, y, 255.0);
            assert!(ours.abs_diff(seen) <= 24, "{x} {y}: {ours} for {seen}");
        }
    }
    let tight = Limits { metadata_bytes: Some(20), ..Limits::LOCAL };
    assert_eq!(files::decode("a.avif", file, &tight, 0).unwrap_err().blame, Blame::Limit);
}

#[test]
fn pictures_are_turned_and_cut_as_the_container_says() {
    let made = |properties: &[u8]| {
        let fraction = |numbers: [i32; 8]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
        let made = Made::default().size(21, 13).property(b"irot", &[1]).property(b"imir", &[0]).property(b"imir", &[1]);
        let cut = made.property(b"clap", &fraction([10, 1, 6, 1, -3, 2, 1, 2]));
        let odd = cut.property(b"clap", &fraction([10, 1, 6, 1, 0, 1, 0, 1]));
        odd.item(b"av01", &pixels(), &[&[1], properties].concat()).file()
    };
    // Where the first pixel of what is seen lies in the file, and the one to its right.
    for (properties, first, next) in [
        (&[][..], (0, 0), (1, 0)),
        (&[2], (20, 0), (20, 1)),
        (&[2, 2], (20, 12), (19, 12)),
        (&[3], (0, 12), (1, 12)),
        (&[4], (20, 0), (19, 0)),
        (&[2, 3], (0, 0), (0, 1)),
        (&[2, 4], (20, 12), (20, 11)),
        (&[4, 2], (0, 0), (0, 1)),
        (&[2, 2, 2], (0, 12), (0, 11)),
        // Left of the middle by one and a half pixels, and below it by a half.
        (&[5], (4, 4), (5, 4)),
        (&[5, 2], (13, 4), (13, 5)),
    ] {
        let picture = decoded(&made(properties));
        for (place, at) in [(0, first), (1, next)] {
            let seen = [0, 1, 2].map(|channel| sample(&picture, channel, place, 0, 255.0));
            assert_eq!(seen, wanted(at.0, at.1), "{properties:?}");
        }
    }
    assert_eq!(decoded(&made(&[5, 2])).size(), Size::new(6, 10));
    assert!(refused(&made(&[6])).message.contains("between pixels"));
    assert!(refused(&made(&[2, 5])).message.contains("behind its turn"));
}

#[test]
fn tiles_make_a_picture() {
    let smooth = include_bytes!("../../../tests/data/smooth-10.avif");
    let container = Container::parse(smooth).unwrap();
    let small = container.data(container.primary).unwrap();
    let grid = |rows: u8, columns: u8, width: u16, height: u16| {
        [&[0, 0, rows - 1, columns - 1][..], &width.to_be_bytes(), &height.to_be_bytes()].concat()
    };
    let one = Made::default().size(60, 33).size(63, 40).item(b"grid", &grid(1, 1, 60, 33), &[1]);
    let one = one.item(b"av01", &small, &[2]).refers(b"dimg", 1, &[2]);
    let (picture, whole) = (decoded(&one.file()), decoded(smooth));
    assert_eq!(picture.size(), Size::new(60, 33));
    for y in 0..33 {
        // The last column and row have neighbours in the tile that are not in the picture.
        assert_eq!(picture.plane(0)[y * 60..][..58], whole.plane(0)[y * 63..][..58]);
    }
    let tile = include_bytes!("../../../tests/data/tile.avif");
    let container = Container::parse(tile).unwrap();
    let data = container.data(container.primary).unwrap();
    let four = Made::default().size(140, 131).size(72, 66).item(b"grid", &grid(2, 2, 140, 131), &[1]);
    let four = four.item(b"av01", &data, &[2]).refers(b"dimg", 1, &[2; 4]);
    let (picture, tile) = (decoded(&four.file()), decoded(tile));
    for (x, y) in (0..140 * 131).map(|i| (i % 140, i / 140)) {
        let (left, top) = (x % 72, y % 66);
        // Beside a cut, colours are spread from the other tile.
        if (1..71).contains(&left) && (1..65).contains(&top) && x < 139 && y < 130 {
            let seen = [0, 1, 2].map(|channel| sample(&picture, channel, x, y, 255.0));
            assert_eq!(seen, [0, 1, 2].map(|channel| sample(&tile, channel, left, top, 255.0)), "{x} {y}");
        }
    }
    let made = |rows, columns, tiles: &[u16]| {
        let made = Made::default().size(21 * 2, 13).size(21, 13).item(b"grid", &grid(rows, columns, 42, 13), &[1]);
        made.item(b"av01", &pixels(), &[2]).refers(b"dimg", 1, tiles).file()
    };
    assert!(refused(&made(1, 2, &[2, 2])).message.contains("does not fit"));
    assert!(refused(&made(1, 2, &[2])).message.contains("too few"));
    assert!(refused(&made(200, 200, &[2; 40_000])).message.contains("does not fit"));
}

#[test]
fn lies_and_bombs_are_refused() {
    let made = |width, height| Made::default().size(width, height).item(b"av01", &pixels(), &[1]).file();
    let tight = Limits { input_pixels: Some(100), ..Limits::LOCAL };
    let failure = files::decode("a.avif", GRADIENT, &tight, 0).unwrap_err();
    assert_eq!(failure.blame, Blame::Limit, "{failure}");
    assert_eq!(refused(&made(100_000, 100_000)).blame, Blame::Limit);
    assert!(refused(&made(0, 13)).message.contains("without pixels"));
    assert!(refused(&made(21, 14)).message.contains("another size"));
    assert!(refused(&made(20, 13)).message.contains("larger than"));
    let layers = pixels().repeat(20);
    let many = Made::default().size(21, 13).item(b"av01", &layers, &[1]).file();
    assert!(refused(&many).message.contains("layers"), "{}", refused(&many));
    let strange = Made::default().size(21, 13).property(b"zzzz", &[]);
    assert_eq!(decoded(&strange.item(b"av01", &pixels(), &[1, 2]).file()).size(), Size::new(21, 13));
    let strange = Made::default().size(21, 13).property(b"zzzz", &[]);
    let failure = refused(&strange.item(b"av01", &pixels(), &[1, 0x82]).file());
    assert!(failure.message.contains("`zzzz`"), "{failure}");
    let other = Made::default().size(21, 13).item(b"hvc1", &pixels(), &[1]).file();
    assert!(refused(&other).message.contains("`hvc1`"));
    // Places without length, so many that they would be more than the file.
    let pieces = [&[1, 0, 0, 0, 0, 0, 0, 9][..], &[0, 1, 0, 0, 0, 0, 0xff, 0xff].repeat(9)].concat();
    let lists = [
        packed(b"pitm", &[0, 0, 0, 0, 0, 1]),
        packed(b"iinf", &[&[0, 0, 0, 0, 0, 1][..], &packed(b"infe", b"\x02\0\0\0\0\x01\0\0av01\0")].concat()),
        packed(b"iloc", &pieces),
    ];
    let file = [packed(b"ftyp", b"avif\0\0\0\0"), packed(b"meta", &[&[0; 4], &lists.concat()[..]].concat())].concat();
    assert!(refused(&file).message.contains("more pieces"), "{}", refused(&file));
}

#[test]
fn broken_files_are_refused() {
    for cut in 0..GRADIENT.len() {
        let failure = refused(&GRADIENT[..cut]);
        assert_eq!(failure.blame, Blame::Input, "{cut}: {failure}");
    }
    assert!(refused(&GRADIENT[..GRADIENT.len() - 60]).message.contains("cut off"));
    for file in [GRADIENT, include_bytes!("../../../tests/data/gradient-premultiplied.avif")] {
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut file = file.to_vec();
                file[at] ^= flip;
                let _ = files::decode("a.avif", &file, &Limits::LOCAL, 0);
            }
        }
    }
    let heic = packed(b"ftyp", b"heic\0\0\0\0mif1heic");
    assert!(refused(&heic).message.contains("HEIC"));
}
