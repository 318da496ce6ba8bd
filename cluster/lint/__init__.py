"""Finds in manifests what would keep the chatbot from scaling, before a node is paid for.

`source` reads files, folders, kustomizations and streams; `stack` gives what was read its meaning (`pods`, `ray`, `serve`,
`karpenter`, `capacity`); each function in `rules` is one rule over a stack; `engine` runs them. Everything after `source` is
pure, and no shape of YAML makes it raise.
"""
