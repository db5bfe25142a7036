"""Side room: models and tokenizers to and from Hugging Face's format. The core never imports it.

`convert` is the command, `model` maps weights to one of the `architectures`, `tokenizer` maps vocabularies and merges.
"""
