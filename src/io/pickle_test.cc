// Tests of the pickle machine with a host that knows one function, and of what it refuses.
#include "io/pickle.h"

#include <gtest/gtest.h>

#include "io/pytorch_test_support.h"

namespace nibble {
namespace {

/// Calls of "m.f" give an object that keeps the arguments.
class OneFunction final : public PickleHost {
 public:
  Result<PickleValue> global(const Pickle& pickle, std::string_view module, std::string_view name) override {
    if (module == "m" && name == "f") return PickleValue{PickleKind::kObject, 1, 7, {}, {}};
    return fail(ErrorCode::kUnsupported, "{}: {}.{} is not known", pickle.what, module, name);
  }
  Result<PickleValue> persistent(const Pickle&, const PickleValue& id) override {
    return PickleValue{PickleKind::kObject, 2, id.number, {}, {}};
  }
  Result<PickleValue> call(const Pickle&, const PickleValue& callable, const PickleValue& arguments) override {
    return PickleValue{PickleKind::kObject, 3, callable.number, {}, arguments.items};
  }
};

class PickleTest : public ::testing::Test {
 protected:
  Result<PickleRef> read(const std::string& bytes) {
    bytes_ = bytes;
    pickle_ = Pickle{"a.bin", {}};
    return read_pickle(bytes_, host_, pickle_);
  }

  /// The value as Python would print it, nearly; "f" for objects of the host.
  std::string text(PickleRef ref) const {
    const PickleValue& value = pickle_.at(ref);
    std::string items;
    for (const PickleRef item : value.items) items += (items.empty() ? "" : " ") + text(item);
    switch (value.kind) {
      case PickleKind::kNone:
        return "None";
      case PickleKind::kBool:
        return value.number != 0 ? "True" : "False";
      case PickleKind::kInt:
        return std::to_string(value.number);
      case PickleKind::kReal:
        return "real";
      case PickleKind::kText:
        return "'" + std::string(value.text) + "'";
      case PickleKind::kTuple:
        return "(" + items + ")";
      case PickleKind::kList:
        return "[" + items + "]";
      case PickleKind::kDict:
        return "{" + items + "}";
      case PickleKind::kObject:
        return "f" + std::to_string(value.tag) + "<" + items + ">";
    }
    return {};
  }

  std::string result(const std::string& bytes) {
    const auto ref = read(bytes);
    return ref.ok() ? text(*ref) : ref.error().message;
  }

  OneFunction host_;
  std::string bytes_;
  Pickle pickle_;
};

TEST_F(PickleTest, PlainValues) {
  EXPECT_EQ(result("\x80\x02N."), "None");
  EXPECT_EQ(result("(\x88\x89t."), "(True False)");
  EXPECT_EQ(result("(K\xFFM" + raw(std::uint16_t{0xFFFE}) + "J" + raw(-5) + "t."), "(255 65534 -5)");
  EXPECT_EQ(result(std::string("(\x8a\x00\x8a\x01\xFF\x8a\x02\xFF\x00t.", 12)), "(0 -1 255)");
  EXPECT_EQ(result(pickled_int(INT64_MIN) + "."), "-9223372036854775808");
  EXPECT_EQ(result("\x8b" + raw(std::uint32_t{3}) + std::string("\x00\x00\x80.", 4)), "-8388608");
  EXPECT_EQ(result("G" + std::string(8, '\0') + "."), "real");
  EXPECT_EQ(result(pickled_text("h\xC3\xA9") + "."), "'h\xC3\xA9'");
}

TEST_F(PickleTest, Containers) {
  EXPECT_EQ(result("](K\x01K\x02"
                   "eK\x03"
                   "a."),
            "[1 2 3]");
  EXPECT_EQ(result("}(K\x01K\x02K\x03K\x04uK\x05Ns."), "{1 2 3 4 5 None}");
  EXPECT_EQ(result("K\x01\x85K\x02\x86)\x89\x87."), "(((1) 2) () False)");
  EXPECT_EQ(result("}N}K\x01Nsbs."), "a.bin: pickle, byte 7: adds to a value of type None, expected dict");
  EXPECT_EQ(result("}}K\x01Nsb."), "{}") << "attributes are dropped";
}

TEST_F(PickleTest, MemoizedValuesAreShared) {
  EXPECT_EQ(result("(]q\x01h\x01K\x05"
                   "at."),
            "([5] [5])");
  EXPECT_EQ(result("(Nr" + raw(2) + "j" + raw(2) + "t."), "(None None)");
  EXPECT_ERROR(read("h\x01."), ErrorCode::kCorrupt, "nothing was memoized");
  EXPECT_ERROR(read(std::string("Nq\x01h\x00.", 6)), ErrorCode::kCorrupt, "nothing was memoized");
  EXPECT_ERROR(read("Nq\x02."), ErrorCode::kCorrupt, "the memo is numbered past its size");
  EXPECT_ERROR(read("Nr" + raw(0x7FFFFFFF) + "."), ErrorCode::kCorrupt, "the memo is numbered past its size");
  EXPECT_TRUE(read("]q\x01h\x01"
                   "a.")
                  .ok())
      << "a list that holds itself";
}

TEST_F(PickleTest, CallsGoToTheHost) {
  EXPECT_EQ(result("cm\nf\n(K\x01K\x02tR."), "f3<1 2>");
  EXPECT_EQ(result("K\x09Q."), "f2<>");
  EXPECT_ERROR(read("cos\nsystem\n."), ErrorCode::kUnsupported, "a.bin: os.system is not known");
  EXPECT_ERROR(read("cm\nf\nNR."), ErrorCode::kCorrupt, "the arguments of a call are not a tuple");
  EXPECT_ERROR(read("cm\nf"), ErrorCode::kCorrupt, "a name has no end");
}

TEST_F(PickleTest, OtherOpcodesAndProtocolsAreRefused) {
  constexpr std::string_view kOthers(
      "ioILVSPdlpg012FBCTU\x81\x82\x83\x84\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\0", 35);
  for (const char code : kOthers) {
    const auto read_one = read("NN" + std::string(1, code) + ".");
    ASSERT_FALSE(read_one.ok()) << static_cast<int>(code);
    EXPECT_EQ(read_one.error().code, ErrorCode::kUnsupported) << static_cast<int>(code);
  }
  EXPECT_ERROR(read("\x95."), ErrorCode::kUnsupported, "pickle opcode 0x95 at byte 0");
  EXPECT_ERROR(read("\x80\x04N."), ErrorCode::kUnsupported, "protocol 4");
}

TEST_F(PickleTest, BrokenPicklesAreRefused) {
  for (const char* bytes : {"",      "N",     "NN.", "(N.", "t.",       "\x85.", "(\x85.",
                            "Q.",    "R.",    ".",   "N.N", "]a.",      "]e.",   "}Ns.",
                            "}(Nu.", "](Na.", "b.",  "Nb.", "N(q\x01.", "K",     "X\x05\x00\x00\x00hi"}) {
    const auto broken = read(bytes);
    ASSERT_FALSE(broken.ok()) << bytes;
    EXPECT_EQ(broken.error().code, ErrorCode::kCorrupt) << bytes << broken.error().message;
    EXPECT_EQ(broken.error().message.find("a.bin: "), 0u) << broken.error().message;
  }
  EXPECT_ERROR(read("\x8a\x09" + std::string(9, '\1') + "."), ErrorCode::kCorrupt, "more than 64 bits");
  EXPECT_ERROR(read(pickled_text("\xFF") + "."), ErrorCode::kCorrupt, "not UTF-8");
}

/// A mark as deep as the pickle is long, tuples within tuples: nothing recurses.
TEST_F(PickleTest, DepthCostsNothing) {
  EXPECT_TRUE(read("N" + std::string(1'000'000, '\x85') + ".").ok());
  EXPECT_ERROR(read("N" + std::string(1'000'000, '(') + "."), ErrorCode::kCorrupt, "left over");
}

}  // namespace
}  // namespace nibble
