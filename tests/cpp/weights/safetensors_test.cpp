// Safetensors: what is written is read again, byte by byte.
#include "deeplight/weights/safetensors.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "temporary_folder.hpp"

using deeplight::SafetensorsFile;
using deeplight::StorageType;
using deeplight::StoredTensor;

namespace {

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 3);
  return bytes;
}

StoredTensor tensor(const std::string& name, StorageType type, std::vector<std::int64_t> shape,
                    std::span<const std::byte> data) {
  StoredTensor result;
  result.name = name;
  result.type = type;
  result.shape = std::move(shape);
  result.data = data;
  return result;
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

}  // namespace

TEST_CASE("tensors of every type survive writing and reading") {
  const deeplight::testing::TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  const std::vector<std::byte> bytes = counting(48);
  const StorageType types[] = {StorageType::f64,    StorageType::f32, StorageType::f16,
                               StorageType::bf16,   StorageType::i64, StorageType::i32,
                               StorageType::i16,    StorageType::i8,  StorageType::u8,
                               StorageType::boolean};
  std::vector<StoredTensor> tensors;
  for (const StorageType type : types) {
    const auto size = static_cast<std::size_t>(deeplight::storage_size(type) * 6);
    tensors.push_back(tensor("t." + std::string(deeplight::storage_name(type)), type, {2, 3},
                             std::span(bytes).first(size)));
  }
  tensors.push_back(tensor("scalar", StorageType::f32, {}, std::span(bytes).first(4)));
  tensors.push_back(tensor("empty", StorageType::f32, {3, 0, 2}, {}));
  tensors.push_back(tensor("\"quoted\" ü\n", StorageType::u8, {1}, std::span(bytes).first(1)));
  const std::map<std::string, std::string> metadata{{"format", "pt"}, {"ключ", "\"value\""}};
  deeplight::write_safetensors(path, tensors, metadata);

  const SafetensorsFile file = SafetensorsFile::open(path);
  CHECK(file.metadata() == metadata);
  REQUIRE(file.tensors().size() == tensors.size());
  for (const StoredTensor& expected : tensors) {
    CAPTURE(expected.name);
    const StoredTensor* found = file.find(expected.name);
    REQUIRE(found != nullptr);
    CHECK(found->type == expected.type);
    CHECK(found->shape == expected.shape);
    CHECK(same_bytes(found->data, expected.data));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.bytes().data(), 8);
  CHECK(length % 8 == 0);
  CHECK(file.tensors().front().name == "t.I64");  // the reference library's order: widest first
  CHECK(file.tensors().back().name == "t.BOOL");
  CHECK(file.find("absent") == nullptr);
  CHECK_THROWS_WITH_AS(file.at("scalra"), doctest::Contains("nearest is 'scalar'"),
                       deeplight::FormatError);
}

TEST_CASE("the same tensors in another order give the same file") {
  const deeplight::testing::TemporaryFolder folder;
  const std::vector<std::byte> bytes = counting(16);
  const StoredTensor a = tensor("a", StorageType::f32, {4}, bytes);
  const StoredTensor b = tensor("b", StorageType::f32, {2, 2}, bytes);
  const StoredTensor c = tensor("c", StorageType::f64, {2}, bytes);
  deeplight::write_safetensors(folder / "1", {a, b, c});
  deeplight::write_safetensors(folder / "2", {c, b, a});
  CHECK(deeplight::read_text_file(folder / "1", 9999) ==
        deeplight::read_text_file(folder / "2", 9999));
}

TEST_CASE("a file without tensors is a file") {
  const deeplight::testing::TemporaryFolder folder;
  deeplight::write_safetensors(folder / "x", {});
  CHECK(SafetensorsFile::open(folder / "x").tensors().empty());
}

TEST_CASE("the writer refuses what the reader would refuse") {
  const deeplight::testing::TemporaryFolder folder;
  const std::string path = folder / "x";
  const std::vector<std::byte> bytes = counting(16);
  const StoredTensor good = tensor("a", StorageType::f32, {4}, bytes);
  const auto refused = [&](std::vector<StoredTensor> tensors, const char* expected) {
    CHECK_THROWS_WITH_AS(deeplight::write_safetensors(path, tensors), doctest::Contains(expected),
                         deeplight::InvalidArgument);
  };
  refused({good, good}, "'a' is there twice");
  refused({tensor("__metadata__", StorageType::f32, {4}, bytes)}, "cannot name a tensor");
  refused({tensor("a", StorageType::f32, {5}, bytes)}, "has 16 bytes, its shape and type need 20");
  refused({tensor("a", StorageType::f32, {-4}, bytes)}, "impossible side of -4");
  refused({tensor("a", StorageType::f32, {INT64_MAX, INT64_MAX}, bytes)}, "impossible side");
  refused({tensor("a", StorageType::f32, std::vector<std::int64_t>(17, 1), bytes)},
          "more than 16 dimensions");
  refused({tensor("\xff\xfe", StorageType::f32, {4}, bytes)}, "not UTF-8");
  refused(std::vector<StoredTensor>(10001, good), "at most 10000");
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK_THROWS_WITH_AS(deeplight::write_safetensors(folder / "no/x", {good}),
                       doctest::Contains("does not exist"), deeplight::FileError);
}

TEST_CASE("opening what is not there or no file says so") {
  const deeplight::testing::TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(SafetensorsFile::open(folder / "none"), doctest::Contains("no such file"),
                       deeplight::FileError);
  CHECK_THROWS_WITH_AS(SafetensorsFile::open(folder.path().string()),
                       doctest::Contains("not a regular file"), deeplight::FileError);
}
