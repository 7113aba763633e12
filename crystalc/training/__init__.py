"""Training of crystals: data, growth, freezing, and a plain loop around them."""
