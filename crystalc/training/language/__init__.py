"""Training of crystal language models: recipes, growth and freezing, the loop, its report."""
