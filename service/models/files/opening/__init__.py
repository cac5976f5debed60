"""Opens the files that people have, as a model of the Keras that wrote them.

`contents` reads what a file holds without any Keras, `keras3` and `keras2` build it, `saved_model` reads TensorFlow's
folders, `own_code` the operator's classes beside a trusted model.
"""
