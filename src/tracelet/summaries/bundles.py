"""What no tracker shows as TensorBoard does, kept whole: graphs, embeddings, meshes, tensors.

Each call makes one bundle, of the files

    graphs/<name>/…       graph.pb, TensorFlow's GraphDef, and run_metadata.pb; or the model's own file
    embeddings/<name>/…   matrix.npy; metadata.json, {"header": […], "rows": […]}; images.npy
    meshes/<name>/…       vertices.npy, colors.npy, faces.npy, config.json
    tensors/<name>/…      tensor.npy

below `step-00000007`, or below `no-step`; a second one of the same name and step is below
`step-00000007-2`, and so on.
"""

import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from tracelet import values
from tracelet.guard import warn_once
from tracelet.scrub import without_userinfo_in
from tracelet.summaries.hosting import host, plain

if TYPE_CHECKING:
    from tracelet.events import Plain
    from tracelet.summaries.listening import Listening

_FOLDERS: Final = {"graph": "graphs", "embedding": "embeddings", "mesh": "meshes", "tensor": "tensors"}
_NOTHING: Final[Mapping[str, "Plain"]] = {}


def add_graph(to: "Listening", file_writer: Any, graph_profile: Any, walltime: float | None = None) -> None:
    """Record the graph that was made of a model.

    Heard is the writer of files, which is handed what has been traced: to trace a model means to run it,
    and what it logs meanwhile is heard, as it is written.
    """
    name = to.names.name(file_writer.get_logdir(), "graph", "graph")
    graph, run_metadata = graph_profile[:2]
    files = {
        "graph.pb": graph.SerializeToString(),
        "run_metadata.pb": run_metadata.SerializeToString(),
    }
    _keep(to, "graph", name, files, None, None if walltime is None else float(walltime))


def model_file(to: "Listening", writer: Any, given: Any) -> None:
    """Record the graph of a model that lies in a file: the file itself."""
    is_path = isinstance(given, (str, os.PathLike))
    source: Any = cast("Any", given) if is_path else getattr(given, "name", None)  # an open file has one
    if not is_path and not isinstance(source, str):
        message = "a graph is kept if it is given as a file's path; this one, a %s, is not logged"
        warn_once(message, values.class_of(given))
        return
    file = Path(source)
    _keep(to, "graph", to.name(writer, file.stem, "graph"), {file.name: file}, None, None)


def add_embedding(
    to: "Listening",
    writer: Any,
    mat: Any,
    metadata: Any = None,
    label_img: Any = None,
    global_step: Any = None,
    tag: str = "default",
    metadata_header: Any = None,
) -> None:
    """Record vectors, and what belongs to each of them."""
    files: dict[str, Any] = {"matrix.npy": plain(mat)}
    if metadata is not None:
        rows = _label(metadata)
        header = [str(one) for one in metadata_header or ()]
        files["metadata.json"] = _json({"header": header, "rows": rows})
    if label_img is not None:
        files["images.npy"] = plain(label_img)
    name, at = to.name(writer, tag, "embedding"), to.moment(writer, global_step, None)
    _keep(to, "embedding", name, files, *at)


def add_mesh(
    to: "Listening",
    writer: Any,
    tag: str,
    vertices: Any,
    colors: Any = None,
    faces: Any = None,
    config_dict: Any = None,
    global_step: Any = None,
    walltime: float | None = None,
) -> None:
    """Record a mesh, or a cloud of points."""
    arrays = {"vertices.npy": vertices, "colors.npy": colors, "faces.npy": faces}
    files = {name: plain(array) for name, array in arrays.items() if array is not None}
    if config_dict is not None:
        files["config.json"] = _json(config_dict)
    name, at = to.name(writer, tag, "mesh"), to.moment(writer, global_step, walltime)
    _keep(to, "mesh", name, files, *at)


def tensor(to: "Listening", writer: Any, tag: str, given: Any, step: Any, when: Any) -> None:
    """Record a tensor of any type that torch writes."""
    files = {"tensor.npy": _elements(given)}
    name, at = to.name(writer, tag, "tensor"), to.moment(writer, step, when)
    _keep(to, "tensor", name, files, *at, {"dtype": str(given.dtype)})


def _keep(
    to: "Listening",
    kind: str,
    name: str,
    files: Mapping[str, Any],
    step: Any,
    time: float | None,
    metadata: "Mapping[str, Plain]" = _NOTHING,
) -> None:
    path = to.place(_FOLDERS[kind], name, step)
    to.experiment.bundle(name, files, kind, step, time, path=path, metadata=metadata)


def _elements(given: Any) -> Any:
    """Make of a tensor what can be kept as an array; of a complex one, the file of numpy's."""
    if not given.is_complex():
        return host(given)
    torch, numpy = cast("Any", sys.modules["torch"]), cast("Any", sys.modules["numpy"])
    here = given.detach().cpu().resolve_conj().resolve_neg()
    narrow = here.dtype == torch.complex32  # numpy has none
    file = io.BytesIO()
    numpy.save(file, (here.to(torch.complex64) if narrow else here).numpy(), allow_pickle=False)
    return file.getvalue()


def _label(given: Any) -> Any:
    """Make of labels what JSON can hold."""
    if given is None or given.__class__ in {bool, int, str}:
        return given
    if given.__class__ is float:
        return given if math.isfinite(given) else str(given)
    if values.is_array(given):
        given = host(given).tolist()
        return _label(given)
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return [_label(one) for one in cast("Sequence[Any]", given)]
    return values.text(cast("object", given))


def _json(content: Any) -> bytes:
    text = msgspec.json.encode(content).decode()
    return (without_userinfo_in(text) if "://" in text else text).encode()
