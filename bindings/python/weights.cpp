// Weights and cards as Python sees them: inspection and JSON text. Tensors themselves are read in
// Python by the `safetensors` library.
#include "deeplight/core/sha256.hpp"
#include "deeplight/weights/card.hpp"
#include "deeplight/weights/safetensors.hpp"

#include <map>
#include <string>

#include "bindings.hpp"

namespace deeplight::python {

namespace py = pybind11;

namespace {

SafetensorsFile open_released(const std::string& path) {
  py::gil_scoped_release release;
  return SafetensorsFile::open(path);
}

}  // namespace

void bind_weights(py::module_& module) {
  module.def(
      "read_safetensors",
      [](const std::string& path) {
        const SafetensorsFile file = open_released(path);
        py::dict result;
        for (const StoredTensor& tensor : file.tensors()) {
          result[py::str(tensor.name)] = py::make_tuple(std::string(storage_name(tensor.type)),
                                                        py::tuple(py::cast(tensor.shape)));
        }
        return result;
      },
      py::arg("path"), "Name -> (dtype, shape) of a safetensors file, checked as a whole.");
  module.def(
      "safetensors_metadata",
      [](const std::string& path) { return open_released(path).metadata(); }, py::arg("path"),
      "The free-form metadata of a safetensors file.");
  module.def(
      "safetensors_bytes",
      [](const std::string& path, const std::string& name) {
        const SafetensorsFile file = open_released(path);
        const auto data = file.at(name).data;
        return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
      },
      py::arg("path"), py::arg("name"), "One tensor's bytes, row-major and little endian.");
  module.def(
      "safetensors_sha256",
      [](const std::string& path) {
        const SafetensorsFile file = open_released(path);
        return sha256_hex(file.bytes());
      },
      py::arg("path"), "Hash of a whole, valid safetensors file, as a card states it.");
  module.def(
      "read_card", [](const std::string& path) { return card_to_text(read_card(path)); },
      py::arg("path"), "A card as JSON text, checked, with every field.");
  module.def(
      "write_card",
      [](const std::string& path, const std::string& text) {
        write_card(path, card_from_text(text, path));
      },
      py::arg("path"), py::arg("text"), "Checks JSON text and writes it atomically as a card.");
  module.def(
      "validate_card",
      [](const std::string& text, const std::string& where) {
        return card_to_text(card_from_text(text, where));
      },
      py::arg("text"), py::arg("where") = "card",
      "Checks JSON text as a card; gives it back with every field.");
}

}  // namespace deeplight::python
