pub(crate) enum Effort {
    Full,
    Quick,
}
pub(crate) fn gateway(_r: &std::path::Path, _e: Effort) -> anyhow::Result<()> {
    Ok(())
}
