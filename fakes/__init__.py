"""Stand-ins that `tests` and `reliability` share: codecs, sources, a describer; imports kinpack."""
