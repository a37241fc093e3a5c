"""Rendered figures with exact joints, drawn from numbers alone."""
