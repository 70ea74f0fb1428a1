//! Writes JSON by hand: a page of a hundred records is one buffer and no tree.

/// Appends JSON to a buffer and keeps track of commas.
pub(crate) struct Pen<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Pen<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: true }
    }

    fn comma(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// Opens an object or array as the next element.
    pub(crate) fn open(&mut self, bracket: u8) {
        self.comma();
        self.out.push(bracket);
        self.first = true;
    }

    /// Opens an object or array under a key.
    pub(crate) fn open_at(&mut self, key: &str, bracket: u8) {
        self.key(key);
        self.out.push(bracket);
        self.first = true;
    }

    pub(crate) fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = false;
    }

    /// A key; its value must follow. Keys need no escapes.
    pub(crate) fn key(&mut self, key: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A key and its value as written.
    pub(crate) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    /// A key and a text, or null.
    pub(crate) fn text(&mut self, key: &str, value: Option<&str>) {
        self.key(key);
        match value {
            Some(value) => push_string(self.out, value),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    /// The next element of an array: a text.
    pub(crate) fn element(&mut self, value: &str) {
        self.comma();
        push_string(self.out, value);
    }
}

/// Appends `value` as a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    push_escaped(out, value);
    out.push(b'"');
}

/// Appends what stands between the quotation marks.
pub(crate) fn push_escaped(out: &mut Vec<u8>, value: &str) {
    if !value.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => push_unicode_escape(out, u32::from(byte)),
            _ => out.push(byte),
        }
    }
}

/// Appends `\u00e9` for a character of the basic plane.
pub(crate) fn push_unicode_escape(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[(code >> shift) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        let mut pen = Pen::new(&mut out);
        pen.open(b'{');
        pen.text("a", Some("tab\t, \"quote\", \\, \u{1}, é"));
        pen.text("b", None);
        pen.open_at("c", b'[');
        pen.element("x");
        pen.element("y");
        pen.close(b']');
        pen.raw("d", "12");
        pen.close(b'}');
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(
            value,
            serde_json::json!({"a": "tab\t, \"quote\", \\, \u{1}, é", "b": null, "c": ["x", "y"], "d": 12})
        );
    }
}
