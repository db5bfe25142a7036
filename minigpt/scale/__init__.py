"""Side room: GPUs, several processes, and what a model costs. Nothing here is needed to understand the model.

`distributed` runs one training in several processes, `precision` multiplies in bfloat16, `compilation` compiles the
blocks, `decoding` speeds up sampling. `accounting` counts bytes and FLOPs, `plan` prints them for a model that does
not exist yet, `bench` measures one that does. The core enters this room through single lines of `training` and
`generate`.
"""
