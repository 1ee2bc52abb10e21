"""From torch to integers and files; may import the models, the codec and below."""
