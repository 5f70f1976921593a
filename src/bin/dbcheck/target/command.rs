//! The command: what the user gave for `sh -c`, with its placeholders filled in.
//!
//! A folder may have a space or a quote in its name (a `TMPDIR` such as `/tmp/my files`). So what
//! is filled in is quoted, as it must be in its place: bare, between `'` and `'`, or between `"`
//! and `"`.

use std::fmt::Write as _;
use std::path::Path;

/// What the placeholders stand for.
pub(crate) struct Places<'a> {
    pub(crate) port: u16,
    pub(crate) folder: &'a Path,
}

/// The name of the data file in the folder, for `{data}`.
const DATA: &str = "data";

impl Places<'_> {
    /// The value of a placeholder, and how long that is in the text.
    fn at(&self, text: &str) -> Option<(String, usize)> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let values = [
            ("{port}", self.port.to_string()),
            ("{data}", path(&self.folder.join(DATA))),
            ("{dir}", path(self.folder)),
        ];
        values
            .into_iter()
            .find(|(name, _)| text.starts_with(name))
            .map(|(name, value)| (value, name.len()))
    }

    /// A command for `sh -c`.
    pub(crate) fn in_command(&self, command: &str) -> String {
        let mut filled = String::new();
        // The quote that is open, if one is.
        let mut open = None;
        let mut at = 0;
        while let Some(character) = command[at..].chars().next() {
            if let Some((value, length)) = self.at(&command[at..]) {
                quote(&mut filled, &value, open);
                at += length;
                continue;
            }
            match (open, character) {
                (None, '\'' | '"') => open = Some(character),
                (Some(quote), _) if quote == character => open = None,
                // What is escaped opens and closes nothing.
                (None | Some('"'), '\\') => {
                    filled.push('\\');
                    at += 1;
                }
                _ => {}
            }
            filled.extend(command[at..].chars().next());
            at += command[at..].chars().next().map_or(0, char::len_utf8);
        }
        filled
    }

    /// A file's name, which no shell will see.
    pub(crate) fn in_path(&self, path: &str) -> String {
        let mut filled = String::new();
        let mut rest = path;
        while let Some(character) = rest.chars().next() {
            let length = if let Some((value, length)) = self.at(rest) {
                filled.push_str(&value);
                length
            } else {
                filled.push(character);
                character.len_utf8()
            };
            rest = &rest[length..];
        }
        filled
    }
}

/// Whether a text has a place in the folder that is removed afterwards.
pub(crate) fn is_in_folder(text: &str) -> bool {
    text.contains("{data}") || text.contains("{dir}")
}

/// Adds a value to a command, where this quote is open.
fn quote(command: &mut String, value: &str, open: Option<char>) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match open {
        Some('\'') => command.push_str(&value.replace('\'', r"'\''")),
        Some(_) => {
            for character in value.chars() {
                if "\\\"$`".contains(character) {
                    command.push('\\');
                }
                command.push(character);
            }
        }
        None if value.chars().all(is_plain) => command.push_str(value),
        None => {
            let _ = write!(command, "'{}'", value.replace('\'', r"'\''"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_each_placeholder_as_one_word_wherever_it_stands() {
        for folder in ["/tmp/x", "/tmp/my files", "/t/it's", "/t/a\"$HOME`b\\c", "/t/é x"] {
            let places = Places { port: 81, folder: Path::new(folder) };
            for (command, wanted) in [
                ("{dir}", "F"),
                ("'{dir}'", "F"),
                ("\"{dir}\"", "F"),
                ("{dir}/a", "F/a"),
                ("--x={data}", "--x=F/data"),
                ("\"--x={dir}/b c\"", "--x=F/b c"),
                (r#"\'"{dir}"\'"#, "'F'"),
                (r#""\"{dir}""#, "\"F"),
                ("é'{port}'", "é81"),
                ("'it is '{dir}", "it is F"),
            ] {
                let filled = places.in_command(&format!("printf '%s|' {command}"));
                let output = Command::new("sh").args(["-c", &filled]).output().unwrap();
                let wanted = format!("{}|", wanted.replace('F', folder));
                assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{filled}");
            }
        }
    }

    #[test]
    fn a_path_is_filled_in_as_it_is() {
        let places = Places { port: 1, folder: Path::new("/tmp/my files") };
        assert_eq!(places.in_path("{dir}/store/x.json"), "/tmp/my files/store/x.json");
        assert_eq!(places.in_path("{data}"), "/tmp/my files/data");
        assert_eq!(places.in_path("/a/{b}é"), "/a/{b}é");
    }
}
