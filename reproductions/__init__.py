"""The tutorial's experiments, run again on data that is at hand: the paper's figure beside ours.

experiment   what an experiment is: its papers, its data, its bars, and the function that runs it
lab          what it works with: the public client, and the page that it fills (asking, notes)
samples      the pixels of a dataset; softmax regression and the like on them, in numpy
imagenet     EfficientNet-Lite0 with its weights, as an upload
results      what came of it, as a file
page         that as a page, and the table of all pages
stack        the service that it is run on, where no other is named
command      `sparring reproduce`
experiments/ one file each, and helpers that are named after them

Everything here speaks to the service as any user would. Nothing imports torch, `workers` or `services`, but for
`stack`, which starts the embedded service.
"""
