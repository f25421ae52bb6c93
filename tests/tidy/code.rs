//! Just enough of Rust's grammar to count by: comments and literals blanked, functions measured.
//!
//! It does not parse. Blanking keeps every line where it was, so that line numbers stay true, and
//! makes words and braces mean code. A function reaches from the line of its `fn` to its closing
//! brace. What it cannot follow (a function without an end) is reported, not passed.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`, from 1.
    pub(crate) line: usize,
    /// From there to the closing brace, both included; `None` where that brace is missing.
    pub(crate) lines: Option<usize>,
}

/// The text with comments, strings and characters replaced by spaces.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = skipped_end(bytes, at) else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code)
        .expect("whole literals and comments are blanked, never half a character")
}

/// Where the comment or literal ends that begins here, if one does.
fn skipped_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return Some(at + length);
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment_length(rest));
    }
    match rest[0] {
        b'"' => Some(at + string_length(rest)),
        b'\'' => character_length(rest).map(|length| at + length),
        b'r' | b'b' | b'c' if at == 0 || !is_word(bytes[at - 1]) => {
            raw_string_length(rest).map(|length| at + length)
        }
        _ => None,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `'x'` and `'\n'` are characters; `'a` alone is a lifetime.
fn character_length(rest: &[u8]) -> Option<usize> {
    let first = *rest.get(1)?;
    if first == b'\\' {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'')?;
        return Some(3 + close + 1);
    }
    let width = match first {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

/// `r"..."`, `r#"..."#`, with `b` or `c` before them.
fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let prefix = usize::from(rest[0] != b'r');
    if rest.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix + 1 + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let inside = &rest[open + 1..];
    let length = inside.windows(close.len()).position(|window| window == close);
    Some(length.map_or(rest.len(), |length| open + 1 + length + close.len()))
}

/// Whether a byte can stand in an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The identifiers of a line of code.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii() || !is_word(c as u8)).filter(|word| !word.is_empty())
}

/// Every function with a body, nested ones too. Takes what [`code_only`] gives.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let after = &code[start + 3..];
        let name: String =
            after.chars().take_while(|c| c.is_ascii() && is_word(*c as u8)).collect();
        let inside_word = start > 0 && is_word(code.as_bytes()[start - 1]);
        if name.is_empty() || inside_word {
            continue;
        }
        let line = 1 + code[..start].matches('\n').count();
        match body_end(&after.as_bytes()[name.len()..]) {
            Body::None => {}
            Body::Unclosed => found.push(Function { name, line, lines: None }),
            Body::Ends(length) => {
                let lines = 1 + after[..name.len() + length].matches('\n').count();
                found.push(Function { name, line, lines: Some(lines) });
            }
        }
    }
    found
}

enum Body {
    None,
    Unclosed,
    Ends(usize),
}

/// Follows a signature to its semicolon, or through its body to the closing brace.
fn body_end(rest: &[u8]) -> Body {
    let mut brackets = 0_i32;
    let mut braces = 0_i32;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'(' | b'[' if braces == 0 => brackets += 1,
            b')' | b']' if braces == 0 => brackets -= 1,
            b';' if braces == 0 && brackets == 0 => return Body::None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Body::Ends(at + 1);
                }
            }
            _ => {}
        }
        if braces < 0 || brackets < 0 {
            return Body::None;
        }
    }
    Body::Unclosed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(code_only(text), code);
        assert_eq!(code_only(text).len(), text.len());
    }

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check("f(\"x\\\"{\", y)", "f(      , y)");
        check("r#\"a\"b\"# c", "         c");
        check("br\"{\\\" d", "       d");
        check("('{', '\\'', '\\\\', 'a')", "(   ,     ,     ,    )");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check("r#type barn\"x\"", "r#type barn   ");
        check("\"one\ntwo\" end", "    \n     end");
    }

    fn named(text: &str) -> Vec<(String, Option<usize>)> {
        functions(&code_only(text)).into_iter().map(|found| (found.name, found.lines)).collect()
    }

    #[test]
    fn functions_reach_to_their_closing_brace() {
        let text = "impl X {\n    pub(crate) async fn a(\n        x: [u8; 2],\n    ) -> u8\n    where\n        \
                    Y: Z,\n    {\n        \"}\";\n        fn b() {}\n    }\n\n    fn c(self);\n}\n";
        assert_eq!(named(text), [("a".to_owned(), Some(9)), ("b".to_owned(), Some(1))]);
    }

    #[test]
    fn types_macros_and_docs_are_no_functions() {
        assert_eq!(
            named("type F = fn (u8); // fn x() {}\nmacro! { fn $name() {} }\nlet a_fn = 1;"),
            []
        );
        assert_eq!(named("struct S { f: fn() }\ntrait T { fn a() -> [u8; 4]; }"), []);
    }

    #[test]
    fn a_function_without_end_is_told() {
        assert_eq!(named("fn a() {\n    if x {\n}\n"), [("a".to_owned(), None)]);
    }
}
