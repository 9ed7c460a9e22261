// Hostile and damaged safetensors files: every one is refused with an error that names the file.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/weights/safetensors.hpp"

using deeplight::FormatError;
using deeplight::SafetensorsFile;

namespace {

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + rest;
}

std::string file_of(const std::string& header, std::size_t data) {
  return with_length(header.size(), header + std::string(data, '\x5a'));
}

SafetensorsFile parse(const std::string& file) {
  return SafetensorsFile::parse(std::as_bytes(std::span(file)), "bad.safetensors");
}

/// The error's text; empty when the file was taken.
std::string refusal(const std::string& file) {
  // An exact copy on the heap, so that AddressSanitizer sees a read past the end.
  const std::vector<char> copy(file.begin(), file.end());
  try {
    SafetensorsFile::parse(std::as_bytes(std::span(copy)), "bad.safetensors");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

const std::string good_header =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";

}  // namespace

TEST_CASE("the file that the damaged ones are made from is good") {
  const SafetensorsFile file = parse(file_of(good_header, 19));
  CHECK(file.tensors().size() == 2);
  CHECK(file.at("b").data.size() == 3);
  CHECK(parse(file_of(one("F32", "[]", "[0,4]"), 4)).tensors().size() == 1);
  CHECK(parse(file_of(one("F32", "[0,5]", "[0,0]"), 0)).tensors().size() == 1);
  CHECK(parse(file_of("{}    ", 0)).tensors().empty());
}

TEST_CASE("a file cut at any byte, or with a byte more, is refused") {
  const std::string good = file_of(good_header, 19);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal(good.substr(0, size)).find("bad.safetensors") == 0);
  }
  CHECK(refusal(good + "x").find("tensors cover 19 of 20 bytes") != std::string::npos);
}

TEST_CASE("known attacks are refused by their own rule") {
  const std::string max = "18446744073709551615";
  const std::string half = "9223372036854775808";  // 2^63
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"7 bytes", std::string("1234567")},
      {"header of 18446744073709551615 bytes", with_length(UINT64_MAX, "{}")},
      {"header of 9223372036854775808 bytes", with_length(std::uint64_t{1} << 63, "{}")},
      {"at most 16777216", with_length((16u << 20) + 1, std::string((16u << 20) + 1, ' '))},
      {"truncated: header of 100 bytes", with_length(100, "{}")},
      {"does not begin with '{'", with_length(0, "")},
      {"does not begin with '{'", file_of(" {}", 0)},
      {"does not begin with '{'", file_of("[]", 0)},
      {"does not begin with '{'", file_of("\xef\xbb\xbf{}", 0)},
      {"not valid JSON", file_of("{}{}", 0)},
      {"zero byte", file_of(std::string("{}\0", 3), 0)},
      {"zero byte", file_of(std::string("{}\0hidden", 9), 0)},
      {"not valid JSON", file_of("{\"a", 0)},
      {"not valid JSON", file_of("{\"\xff\":1}", 0)},
      {"not valid JSON", file_of("{\"\xc0\x80\":1}", 0)},
      {"not valid JSON", file_of(R"({"\ud800":1})", 0)},
      {"not valid JSON", file_of(one("F32", "[01]", "[0,4]"), 4)},
      {"the number -1", file_of(one("F32", "[-1]", "[0,4]"), 4)},
      {"the number -4", file_of(one("F32", "[1]", "[-4,0]"), 4)},
      {"the number 0 where", file_of(one("F32", "[-0]", "[0,0]"), 0)},
      {"the number 1.0", file_of(one("F32", "[1.0]", "[0,4]"), 4)},
      {"the number 1e0", file_of(one("F32", "[1e0]", "[0,4]"), 4)},
      {"the number 18446744073709551616",
       file_of(one("F32", "[18446744073709551616]", "[0,4]"), 4)},
      {"a side of " + half, file_of(one("U8", "[" + half + "]", "[0," + half + "]"), 4)},
      {"a side of " + max, file_of(one("U8", "[" + max + "]", "[0," + max + "]"), 4)},
      {"overflows 64 bits",
       file_of(one("F32", "[4294967296,4294967296]", "[0,0]"), 0)},  // wraps to zero
      {"overflows 64 bits", file_of(one("F64", "[4611686018427387904,2]", "[0,0]"), 0)},
      {"overflows 64 bits",  // a zero side must not hide the overflow of the others
       file_of(one("F32", "[9223372036854775807,9223372036854775807,0]", "[0,0]"), 0)},
      {"in reverse", file_of(one("F32", "[1]", "[4,0]"), 4)},
      {"ends at byte 8 of 4", file_of(one("F32", "[2]", "[0,8]"), 4)},
      {"ends at byte " + max, file_of(one("F32", "[2]", "[0," + max + "]"), 4)},
      {"has 4 bytes, its shape and dtype need 8", file_of(one("F32", "[2]", "[0,4]"), 4)},
      {"has 8 bytes, its shape and dtype need 4", file_of(one("F32", "[1]", "[0,8]"), 8)},
      {"expected 0", file_of(one("F32", "[1]", "[4,8]"), 8)},
      {"tensors cover 4 of 8", file_of(one("F32", "[1]", "[0,4]"), 8)},
      {"needs two data_offsets", file_of(one("F32", "[1]", "[0]"), 4)},
      {"more than two data_offsets", file_of(one("F32", "[1]", "[0,4,8]"), 4)},
      {"more than 16 dimensions", file_of(one("F32", "[" + repeated("1,", 16) + "1]", "[0,4]"), 4)},
      {"dtype 'F31'", file_of(one("F31", "[1]", "[0,4]"), 4)},
      {"dtype 'f32'", file_of(one("f32", "[1]", "[0,4]"), 4)},
      {"dtype ''", file_of(one("", "[1]", "[0,4]"), 4)},
      {"a string", file_of(R"({"w":"x"})", 0)},
      {"null", file_of(R"({"w":null})", 0)},
      {"true or false", file_of(R"({"w":{"dtype":true}})", 0)},
      {"a list", file_of(R"({"w":[]})", 0)},
      {"a list", file_of(R"({"w":{"shape":[[1]]}})", 0)},
      {"a list", file_of(R"({"w":{"dtype":["F32"]}})", 0)},
      {"a table", file_of(R"({"w":{"shape":{"a":1}}})", 0)},
      {"a table", file_of(R"({"__metadata__":{"a":{}}})", 0)},
      {"the number 1 where", file_of(R"({"__metadata__":{"a":1}})", 0)},
      {"a string", file_of(R"({"__metadata__":"x"})", 0)},
      {"unknown field 'extra'", file_of(R"({"w":{"extra":1}})", 0)},
      {"lacks one of", file_of(R"({"w":{"dtype":"F32","shape":[1]}})", 4)},
      {"lacks one of", file_of(R"({"w":{}})", 0)},
      {"has 'dtype' twice", file_of(R"({"w":{"dtype":"F32","dtype":"F64"}})", 4)},
      {"tensor 'w' is there twice",
       file_of(R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
               R"("w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
               0)},
      {"tensor '__metadata__' is there twice",
       file_of(R"({"__metadata__":{},"__metadata__":{}})", 0)},
      {"metadata 'a' is there twice", file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0)},
      {"neither overlap", file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                  R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                                  6)},
      {"neither overlap", file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                  R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                                  4)},
      {"nor leave gaps", file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                 R"("b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})",
                                 9)},
      {"a list", file_of(R"({"w":)" + std::string(1000000, '['), 0)},
      {"unknown field", file_of(repeated(R"({"w":)", 100000), 0)},
  };
  for (const auto& [expected, file] : cases) {
    CAPTURE(expected);
    const std::string text = refusal(file);
    CAPTURE(text);
    CHECK(text.find("bad.safetensors") == 0);
    CHECK(text.find(expected) != std::string::npos);
    CHECK(text.size() < 400);
  }
}

TEST_CASE("10,000 tensors are read, one more is refused") {
  const auto many = [](int count) {
    std::string header = "{";
    for (int i = 0; i < count; ++i) {
      header += (i ? ",\"" : "\"") + std::to_string(i) +
                R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    return file_of(header + "}", 0);
  };
  CHECK(parse(many(10000)).tensors().size() == 10000);
  CHECK(refusal(many(10001)).find("more than 10000 tensors") != std::string::npos);
}

TEST_CASE("a long name is cut in messages between characters") {
  std::string name;
  for (int i = 0; i < 100; ++i) name += "ü";
  const std::string text = refusal(file_of("{\"x" + name + "\":1}", 0));
  CHECK(text.size() < 300);
  CHECK(text.find("\xc3.") == std::string::npos);
}

TEST_CASE("random damage never reads outside the file and never passes unseen in the header") {
  std::mt19937 random(7);
  const std::string good = file_of(good_header, 19);
  int refused = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    std::string file = good;
    const int flips = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < flips; ++i) {
      file[random() % file.size()] ^= static_cast<char>(1u << (random() % 8));
    }
    const std::vector<char> copy(file.begin(), file.end());
    try {
      const SafetensorsFile parsed =
          SafetensorsFile::parse(std::as_bytes(std::span(copy)), "bad.safetensors");
      std::uint64_t covered = 0;
      for (const auto& tensor : parsed.tensors()) {
        covered += tensor.data.size();
        CHECK(tensor.end <= 19);
      }
      CHECK(covered == 19);
    } catch (const FormatError&) {
      ++refused;
    }
  }
  CHECK(refused > 10000);
}
