"""One function a rule, one module a hop or a part of one; the module's name says which."""
