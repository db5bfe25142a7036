"""Side room: models and tokenizers to and from Hugging Face's format."""
