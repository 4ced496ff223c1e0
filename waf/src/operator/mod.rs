//! What is asked of a value: compiled once, matched many times, always in linear time.

/// Files that operators read when they are compiled (`@pmFromFile`, `@ipMatchFromFile`), by the name that the rule gives.
pub trait Files {
    /// The bytes of a file, or why it cannot be read.
    ///
    /// # Errors
    /// A sentence that names the file.
    fn read(&self, name: &str) -> Result<Vec<u8>, String>;
}

/// What an operator captured: TX.0 to TX.9.
#[derive(Debug, Default)]
pub struct Captures {
    /// Whether anybody asks for them; without, operators do not spend time on them.
    pub is_wanted: bool,
    /// Place and bytes.
    pub found: Vec<(u8, Vec<u8>)>,
}

/// A compiled operator.
#[derive(Debug)]
pub struct Operator(());

impl Operator {
    /// Compiles an operator with an argument. `argument` is `None` where the argument has macros, and is known only when
    /// a request is there: then [`Operator::matches`] is given it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the place: an unknown operator, an argument that does not fit, a
    /// pattern that linear time cannot serve (look-around, back-references), a look-up that nothing here can do.
    pub fn compile(
        _name: &str,
        _argument: Option<&[u8]>,
        _files: &dyn Files,
    ) -> Result<Self, String> {
        Err("unknown operator".into())
    }

    /// Whether a value matches, before any negation. `expanded` is the argument if it had macros.
    pub fn matches(
        &self,
        _value: &[u8],
        _expanded: Option<&[u8]>,
        _captures: &mut Captures,
    ) -> bool {
        false
    }
}
