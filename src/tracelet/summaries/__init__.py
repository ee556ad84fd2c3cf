"""What a `SummaryWriter` is given, torch's or tensorboardX's: hearing it, and naming it.

A capture makes a table of functions, each called as the writer's method that it hears and with the
parameters of that method behind `Listening` and the writer. The methods that both libraries have are
here; a method of one library stands in that one's capture.

    listening   what a capture has of one experiment; putting the table in place
    naming      how tags become names
    compiling   keeping `torch.compile` away from us
    hosting     tensors: what the library has brought to the host is not brought there again
    scalars     add_scalars, params and metrics of add_hparams
    media       texts, histograms, images, figures, sounds, films, curves
    layouts     add_custom_scalars and its short forms
    bundles     graphs, embeddings, meshes, tensors: kept whole
"""
