"""Side room: GPUs, several processes, and what a model costs. Nothing here is needed to understand the model.

`distributed` divides the work of a run among processes, `sharding` its models and `decoding` its prompts. `precision`
multiplies in bfloat16, `compilation` compiles the blocks. `accounting` counts bytes and FLOPs, `plan` prints them for a
model that does not exist yet, `bench` measures one that does. They act on a model from outside: `model` does not import
them.
"""
