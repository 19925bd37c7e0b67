//! Members of JSON objects, found in the text itself: a number keeps every digit that it was written with.

/// What the member `name` of `object` holds, the last one of that name. None without such a member or when `object`
/// is not one JSON object. What lies inside the members is not checked: the library does that with a plan. A name that
/// is written with an escape is never found.
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = skip_space(object, 0);
    if object.get(at) != Some(&b'{') {
        return None;
    }
    let mut found = None;
    loop {
        let key = skip_space(object, at + 1);
        if object.get(key) != Some(&b'"') {
            return None;
        }
        let key_end = skip_string(object, key)?;
        let colon = skip_space(object, key_end);
        if object.get(colon) != Some(&b':') {
            return None;
        }
        let begin = skip_space(object, colon + 1);
        at = skip_value(object, begin)?;
        if &object[key + 1..key_end - 1] == name.as_bytes() {
            found = Some(without_space_after(&object[begin..at]));
        }
        match object[at] {
            b',' => continue,
            b'}' if skip_space(object, at + 1) == object.len() => return found,
            _ => return None,
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The first place from `at` on that has no white space; the text's length when there is none.
fn skip_space(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|&&byte| is_space(byte)).count()
}

fn without_space_after(text: &[u8]) -> &[u8] {
    let spaces = text.iter().rev().take_while(|&&byte| is_space(byte)).count();
    &text[..text.len() - spaces]
}

/// Past the string that begins at `at`, unless it does not close.
fn skip_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += 1;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 1,
            _ => {}
        }
    }
}

/// The place of the comma or bracket after the value at `at`.
fn skip_value(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at = skip_string(text, at)?;
                continue;
            }
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}
