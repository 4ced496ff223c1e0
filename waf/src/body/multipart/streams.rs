//! Bodies in chunks, bodies that a bound cuts, and what is held meanwhile.

use proptest::prelude::*;

use super::tests::piece;
use super::{Bounds, Multipart};
use crate::body::testing::Told;

const FORM: &str = "multipart/form-data; boundary=B";
const WIDE: Bounds = Bounds {
    files_max: 3,
    no_files_bytes_max: u64::MAX,
    file_beginning_bytes_max: 1 << 20,
    file_beginnings_bytes_max: u64::MAX,
};

/// What is told of a body that comes in these chunks, whether a bound cut it, and the most that was held.
fn tell<'c>(
    bounds: Bounds,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> (Vec<String>, bool, usize) {
    let (mut told, mut held) = (Told::default(), 0);
    let mut reader = Multipart::new(FORM.as_bytes(), bounds);
    for chunk in chunks {
        reader.feed(chunk, &mut told);
        held = held.max(reader.held_bytes());
    }
    let end = reader.end(false, &mut told);
    told.0.extend(end.err());
    (told.0, reader.is_cut(), held)
}

/// A body cut at these places, each counted from the one before.
fn split<'b>(body: &'b [u8], steps: &[usize]) -> Vec<&'b [u8]> {
    let (mut rest, mut chunks) = (body, Vec::new());
    for step in steps {
        let (chunk, more) = rest.split_at((*step).min(rest.len()));
        chunks.push(chunk);
        rest = more;
    }
    chunks.push(rest);
    chunks
}

fn part(disposition: &str, content: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

#[test]
fn a_body_may_be_cut_anywhere() {
    let long = "x".repeat(5000);
    let bodies = [
        part("name=a", "1\r\n2\r")
            + &part("name=f; filename=x", "\r\n--\r\n--B1\r\n")
            + "--B--\r\n",
        part("name=f; filename=x", &format!("{long}\r\r\n{long}--B\r\n--C{long}\r")) + "--B--",
        part("name=a", "1").replace("\r\n", "\n") + "--B--\n more",
        format!("--B\r\n{long}: 1\r\nX: 1\r\n 2\r\n\r\n") + &part("name=a", &long) + "--B--\r\n",
    ];
    for body in bodies {
        let whole = tell(WIDE, [body.as_bytes()]).0;
        let each = tell(WIDE, body.as_bytes().chunks(1)).0;
        assert_eq!(whole, each, "{body}");
        for at in (0..body.len()).step_by(if body.len() > 4000 { 7 } else { 1 }) {
            let (left, right) = body.as_bytes().split_at(at);
            assert_eq!(whole, tell(WIDE, [left, right]).0, "at {at}: {body}");
        }
    }
}

/// The lengths around which a line is no longer looked at as a whole.
#[test]
fn long_lines_end_as_short_ones_do() {
    for len in 4090..4105 {
        for end in ["\r\n", "\n", "\r\r\n", "\n\r\n", "\r"] {
            let content = "x".repeat(len) + end;
            let body = part("name=a", &content) + "--B--\r\n";
            for chunk in [1, 4096, 4097, 4098, 1 << 20] {
                let (told, ..) = tell(WIDE, body.as_bytes().chunks(chunk));
                assert!(told.contains(&format!("a={content}")), "{len} {end:?} {chunk}");
                assert!(!told.iter().any(|line| line.contains("Strict")), "{len} {end:?} {chunk}");
            }
            let (told, ..) =
                tell(WIDE, [part("name=a", &content).trim_end_matches("\r\n").as_bytes()]);
            assert!(told.iter().any(|line| line.starts_with("a=x")), "{len} {end:?}");
        }
    }
}

#[test]
fn a_delimiter_within_a_long_line_is_seen_wherever_chunks_end() {
    for at in 4080..4110 {
        let content = "x".repeat(at) + "--B" + &"y".repeat(10);
        // Behind the last boundary of ours, since each of ours says that all is well.
        let body = part("name=a", "1") + &content;
        for chunk in [1, 2, 3, 4096, 4097, 1 << 20] {
            let (told, ..) = tell(WIDE, body.as_bytes().chunks(chunk));
            assert!(told.contains(&"MultipartUnmatchedBoundary=1".to_owned()), "{at} {chunk}");
        }
    }
}

#[test]
fn files_are_kept_in_their_beginnings_and_counted_whole() {
    let bounds = Bounds { file_beginning_bytes_max: 4, ..WIDE };
    let files = part("name=f; filename=x", "12\r\n45678\r\n") + &part("name=g; filename=y", "123");
    let body = files + &part("name=a", "12345678") + "--B--\r\n";
    let (told, is_cut, _) = tell(bounds, [body.as_bytes()]);
    let about = |prefix: &str| told.iter().filter(|it| it.starts_with(prefix)).cloned().collect();
    let shown: Vec<Vec<String>> =
        ["FilesTmpContent", "FilesSizes", "FilesCombined", "a="].map(about).into();
    assert_eq!(
        shown,
        [
            vec!["FilesTmpContent f=12\r\n", "FilesTmpContent g=123"],
            vec!["FilesSizes f=11", "FilesSizes g=3"],
            vec!["FilesCombinedSize=11", "FilesCombinedSize=14"],
            vec!["a=12345678"],
        ]
    );
    assert!(!is_cut);
    let bounds = Bounds { file_beginnings_bytes_max: 5, ..bounds };
    let (told, is_cut, _) = tell(bounds, [body.as_bytes()]);
    assert!(is_cut && told.contains(&"FilesTmpContent g=1".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("Strict")), "{told:?}");
}

/// ModSecurity #1471, #2093, #2277: what our own bound cuts is never judged as incomplete, wherever it cuts.
#[test]
fn a_cut_is_no_mistake_and_what_was_begun_is_told() {
    let body = part("name=a", "1 union sel\r\nect")
        + &part("name=f; filename=x", "--\r\n--C\r\n")
        + &part("name=b", &"2".repeat(5000))
        + "--B--\r\n";
    for no_files_bytes_max in 0..body.len() as u64 {
        let bounds = Bounds { no_files_bytes_max, ..WIDE };
        let (told, is_cut, _) = tell(bounds, [body.as_bytes()]);
        let is_judged = |line: &String| {
            ["multipart:", "Strict", "Unmatched"].iter().any(|word| line.contains(word))
                && line != "MultipartUnmatchedBoundary=2"
        };
        assert!(!told.iter().any(is_judged), "{no_files_bytes_max}: {told:?}");
        // Nine bytes are content of a file.
        assert_eq!(is_cut, no_files_bytes_max + 9 < body.len() as u64, "{no_files_bytes_max}");
    }
    let bounds = Bounds { no_files_bytes_max: 54, ..WIDE };
    assert!(tell(bounds, [body.as_bytes()]).0.contains(&"a=1 union".to_owned()));
    // A mistake before the cut is one.
    let body = body.replacen("name=a", "nome=a", 1);
    assert!(tell(bounds, [body.as_bytes()]).0.contains(&"MultipartStrictError=1".to_owned()));
}

#[test]
fn nothing_grows_with_what_is_not_looked_at() {
    let bounds = Bounds { file_beginning_bytes_max: 1000, ..WIDE };
    let begin = part("name=f; filename=x", "");
    let begin = begin.trim_end().as_bytes();
    for filling in [b'x', b'\n', b'-', b'\r', b' '] {
        let filling = vec![filling; 1 << 20];
        let chunks = [begin, b"\r\n\r\n"].into_iter().chain(filling.chunks(1000));
        let (told, is_cut, held) = tell(bounds, chunks);
        assert!(held < 16 << 10 && !is_cut, "{held}");
        assert!(told.iter().map(String::len).sum::<usize>() < 4000, "{told:?}");
        // Before the first boundary, and in a part that cannot be read.
        for head in [&b""[..], b"--B\r\nX\r\n"] {
            let chunks = std::iter::once(head).chain(filling.chunks(1000));
            assert!(tell(bounds, chunks).2 < 16 << 10);
        }
    }
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        pieces in proptest::collection::vec(piece(), 0..60),
        filling in proptest::collection::vec((0..60_usize, 4080..4110_usize), 0..2),
        steps in proptest::collection::vec(0..20_usize, 0..40),
        far in proptest::collection::vec(4000..4200_usize, 0..2),
        bound in prop_oneof![Just(u64::MAX), 0..400_u64, 4000..5000_u64],
        beginning in prop_oneof![Just(1 << 20), 0..20_usize],
    ) {
        let mut body = pieces.concat();
        for (at, len) in filling {
            let at = at.min(body.len());
            body.splice(at..at, std::iter::repeat_n(b'x', len));
        }
        let bounds = Bounds {
            no_files_bytes_max: bound,
            file_beginning_bytes_max: beginning,
            file_beginnings_bytes_max: 30,
            ..WIDE
        };
        let (whole, is_cut, _) = tell(bounds, [body.as_slice()]);
        let steps = [far, steps].concat();
        let (told, is_cut_too, _) = tell(bounds, split(&body, &steps));
        prop_assert_eq!(&whole, &told);
        prop_assert_eq!(is_cut, is_cut_too);
        let (told, is_cut_too, _) = tell(bounds, body.chunks(1));
        prop_assert_eq!(whole, told);
        prop_assert_eq!(is_cut, is_cut_too);
    }
}
