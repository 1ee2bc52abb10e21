"""The describer `photo`: a small network that learns of lite0 what pictures show."""
