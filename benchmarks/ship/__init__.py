"""Make the codecs that ship with kinpack, and measure its installation; imports `search`."""
