#include "derm/tensor/pth.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include <torch/torch.h>

#include "derm/base/crc.h"
#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::tensor {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in the file");

constexpr uint64_t kMaxFile = uint64_t{1} << 36;
constexpr size_t kMaxPickle = size_t{16} << 20;
constexpr size_t kMaxNodes = size_t{4} << 20;   // values that a pickle may make
constexpr size_t kMaxVisits = size_t{1} << 20;  // values looked at while flattening: shared dicts multiply
constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxName = 4096;
constexpr size_t kMaxDimensions = 16;
constexpr uint64_t kMaxGrowth = 4;  // bytes of tensors over bytes of the file: tied weights are stored once

/// The bytes of a file and what to call it. Every read is checked against the end.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}
  size_t position() const { return at_; }
  bool at_end() const { return at_ == bytes_.size(); }
  void seek(uint64_t position) {
    if (position > bytes_.size()) cut_short();
    at_ = static_cast<size_t>(position);
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) cut_short();
    const std::string_view taken = bytes_.substr(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) cut_short();
    const std::string_view taken = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return taken;
  }

 private:
  [[noreturn]] void cut_short() const {
    throw DataError("{}: it ends in the middle of what it says it holds; the file is damaged or was cut short", where_);
  }
  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

// ---------------------------------------------------------------------------------------------------- the pickle

struct Type {
  std::string_view storage;
  at::ScalarType scalar;
  int64_t bytes;
};
constexpr std::array<Type, 10> kTypes = {{{"DoubleStorage", at::kDouble, 8},
                                          {"FloatStorage", at::kFloat, 4},
                                          {"HalfStorage", at::kHalf, 2},
                                          {"BFloat16Storage", at::kBFloat16, 2},
                                          {"LongStorage", at::kLong, 8},
                                          {"IntStorage", at::kInt, 4},
                                          {"ShortStorage", at::kShort, 2},
                                          {"CharStorage", at::kChar, 1},
                                          {"ByteStorage", at::kByte, 1},
                                          {"BoolStorage", at::kBool, 1}}};

enum class Global { ordered_dict, rebuild_tensor, rebuild_tensor_v2, rebuild_parameter, storage };
enum class Kind { nothing, boolean, integer, big_integer, real, text, tuple, list, dict, global, storage, tensor };
using NodeId = uint32_t;

/// A value of the pickle. Values name each other by number, so that one that holds itself is no trouble.
struct Node {
  Kind kind = Kind::nothing;
  int64_t integer = 0;                // boolean, integer; tensor: offset in elements; storage: elements
  std::string text;                   // text, big integer's bytes; storage: its key
  std::vector<NodeId> items;          // tuple, list; dict: key, value, key, value
  std::vector<int64_t> size, stride;  // tensor
  NodeId storage = 0;                 // tensor
  Global global = Global::storage;
  const Type* type = nullptr;  // storage, and the global that names its type
};

class Unpickler {
 public:
  Unpickler(Reader& in, const std::string& where) : in_(in), where_(where) {}
  const Node& node(NodeId id) const { return nodes_[id]; }
  NodeId run();

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw DataError("{}: its pickle {}; the file is damaged or no state dict that torch.save wrote", where_, what);
  }
  Node& make(Kind kind) {
    if (nodes_.size() >= kMaxNodes) refuse("holds more than four million values");
    stack_.push_back(static_cast<NodeId>(nodes_.size()));
    nodes_.emplace_back().kind = kind;
    return nodes_.back();
  }
  NodeId pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("takes a value that is not there");
    const NodeId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  NodeId top() const {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("uses a value that is not there");
    return stack_.back();
  }
  std::vector<NodeId> pop_to_mark() {
    if (marks_.empty()) refuse("ends a list that was not begun");
    const std::vector<NodeId> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void tuple_of(size_t count) {
    std::vector<NodeId> items(count);
    for (size_t i = count; i > 0; --i) items[i - 1] = pop();
    make(Kind::tuple).items = std::move(items);
  }
  void text(uint64_t length) {
    const std::string_view bytes = in_.take(length);
    make(Kind::text).text = std::string(bytes);
  }
  Node& container(Kind kind) {
    Node& n = nodes_[top()];
    if (n.kind != kind) refuse(kind == Kind::dict ? "sets items of what is no dict" : "appends to what is no list");
    return n;
  }
  void set_items(const std::vector<NodeId>& items) {
    if (items.size() % 2) refuse("sets a key without a value");
    Node& n = container(Kind::dict);
    n.items.insert(n.items.end(), items.begin(), items.end());
  }
  void remember(uint64_t key) { memo_[key] = top(); }
  void recall(uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("recalls a value that it never kept");
    stack_.push_back(found->second);
  }
  void long_integer(uint64_t length);
  void global(std::string_view module, std::string_view name);
  void persistent();
  void reduce();
  void rebuild_tensor(const std::vector<NodeId>& arguments);
  std::vector<int64_t> integers(NodeId id) const;
  int64_t integer(NodeId id) const {
    if (nodes_[id].kind != Kind::integer) refuse("has something else where a number is due");
    return nodes_[id].integer;
  }

  Reader& in_;
  const std::string& where_;
  std::vector<Node> nodes_;
  std::vector<NodeId> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, NodeId> memo_;
};

void Unpickler::long_integer(uint64_t length) {
  const std::string_view bytes = in_.take(length);
  if (length > 8) {
    make(Kind::big_integer).text = std::string(bytes);
    return;
  }
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  const bool negative = !bytes.empty() && (bytes.back() & 0x80);
  if (negative && length < 8) value |= ~uint64_t{0} << (8 * length);
  make(Kind::integer).integer = static_cast<int64_t>(value);
}

void Unpickler::global(std::string_view module, std::string_view name) {
  std::optional<Global> known;
  const Type* type = nullptr;
  if (module == "collections" && name == "OrderedDict") known = Global::ordered_dict;
  if (module == "torch._utils") {
    if (name == "_rebuild_tensor") known = Global::rebuild_tensor;
    if (name == "_rebuild_tensor_v2") known = Global::rebuild_tensor_v2;
    if (name == "_rebuild_parameter") known = Global::rebuild_parameter;
  }
  if (module == "torch") {
    for (const Type& t : kTypes) {
      if (name == t.storage) {
        known = Global::storage;
        type = &t;
      }
    }
  }
  if (!known) {
    const auto shown = [](std::string_view s) {
      std::string out(s.substr(0, 60));
      for (char& c : out) c = c >= ' ' && c <= '~' ? c : '?';
      return out;
    };
    throw DataError(
        "{}: its pickle names {}.{}, which is no plain tensor data; nothing of it was run. Save the state dict alone: "
        "torch.save(model.state_dict(), file)",
        where_, shown(module), shown(name));
  }
  Node& n = make(Kind::global);
  n.global = *known;
  n.type = type;
}

/// ('storage', torch.FloatStorage, key, location, elements), in the older form with a sixth that is None.
void Unpickler::persistent() {
  const Node& id = nodes_[pop()];
  if (id.kind != Kind::tuple || id.items.size() < 5 || id.items.size() > 6)
    refuse("refers to something else than a storage");
  const Node& what = nodes_[id.items[0]];
  const Node& type = nodes_[id.items[1]];
  const Node& key = nodes_[id.items[2]];
  if (what.kind != Kind::text || what.text != "storage" || type.kind != Kind::global || !type.type ||
      key.kind != Kind::text)
    refuse("refers to something else than a storage");
  if (id.items.size() == 6 && nodes_[id.items[5]].kind != Kind::nothing)
    refuse("has a storage that is a view of another, as no torch since 0.4 writes it");
  const int64_t elements = integer(id.items[4]);
  if (elements < 0) refuse("has a storage of less than no elements");
  std::string key_text = key.text;
  const Type* element = type.type;
  Node& storage = make(Kind::storage);
  storage.text = std::move(key_text);
  storage.type = element;
  storage.integer = elements;
}

std::vector<int64_t> Unpickler::integers(NodeId id) const {
  const Node& n = nodes_[id];
  if (n.kind != Kind::tuple && n.kind != Kind::list) refuse("has something else where a shape is due");
  if (n.items.size() > kMaxDimensions) refuse("has a tensor of more than 16 dimensions");
  std::vector<int64_t> values;
  for (const NodeId item : n.items) values.push_back(integer(item));
  return values;
}

void Unpickler::rebuild_tensor(const std::vector<NodeId>& arguments) {
  const NodeId storage = arguments[0];
  if (nodes_[storage].kind != Kind::storage) refuse("makes a tensor of something else than a storage");
  const int64_t offset = integer(arguments[1]), elements = nodes_[storage].integer;
  const std::vector<int64_t> size = integers(arguments[2]), stride = integers(arguments[3]);
  if (size.size() != stride.size()) refuse("has a tensor with more sizes than strides, or fewer");
  int64_t count = 1, last = offset;
  bool sound = offset >= 0;
  for (size_t i = 0; i < size.size() && sound; ++i) {
    int64_t span = 0;
    sound = size[i] >= 0 && stride[i] >= 0 && !__builtin_mul_overflow(count, size[i], &count) &&
            !__builtin_mul_overflow(std::max<int64_t>(size[i] - 1, 0), stride[i], &span) &&
            !__builtin_add_overflow(last, span, &last);
  }
  // Sizes such as [2^62, 0, 2^62] have no elements, and yet libtorch could not take their strides.
  double volume = 1;
  for (const int64_t n : size) volume *= static_cast<double>(std::max<int64_t>(n, 1));
  if (!sound || volume > 1e18 || (count > 0 && last >= elements))
    refuse(fmt::format("has a tensor [{}] that does not lie in its storage of {} elements", fmt::join(size, ", "),
                       elements));
  if (count > elements)
    refuse(
        fmt::format("has a tensor [{}] with more elements than its storage has ({})", fmt::join(size, ", "), elements));
  Node& tensor = make(Kind::tensor);
  tensor.storage = storage;
  tensor.integer = offset;
  tensor.size = size;
  tensor.stride = stride;
}

void Unpickler::reduce() {
  const NodeId arguments_id = pop(), callable_id = pop();
  if (nodes_[arguments_id].kind != Kind::tuple || nodes_[callable_id].kind != Kind::global)
    refuse("calls what is not to be called");
  const std::vector<NodeId> arguments = nodes_[arguments_id].items;
  switch (nodes_[callable_id].global) {
    case Global::ordered_dict: {
      // Empty and filled by SETITEMS, or from one list of pairs (Python 2).
      std::vector<NodeId> items;
      if (arguments.size() > 1) refuse("makes an OrderedDict of several arguments");
      if (arguments.size() == 1) {
        const Node& pairs = nodes_[arguments[0]];
        if (pairs.kind != Kind::list && pairs.kind != Kind::tuple) refuse("makes an OrderedDict of what is no list");
        for (const NodeId id : pairs.items) {
          const Node& pair = nodes_[id];
          if ((pair.kind != Kind::list && pair.kind != Kind::tuple) || pair.items.size() != 2)
            refuse("makes an OrderedDict of what are no pairs");
          items.insert(items.end(), pair.items.begin(), pair.items.end());
        }
      }
      make(Kind::dict).items = std::move(items);
      return;
    }
    case Global::rebuild_tensor:
      if (arguments.size() != 4) refuse("makes a tensor of a wrong number of arguments");
      rebuild_tensor(arguments);
      return;
    case Global::rebuild_tensor_v2:
      if (arguments.size() != 6 && arguments.size() != 7) refuse("makes a tensor of a wrong number of arguments");
      rebuild_tensor(arguments);
      return;
    case Global::rebuild_parameter:
      if (arguments.size() != 3 || nodes_[arguments[0]].kind != Kind::tensor) refuse("makes a parameter of no tensor");
      stack_.push_back(arguments[0]);
      return;
    case Global::storage: refuse("calls what is not to be called");
  }
}

NodeId Unpickler::run() {
  const size_t begin = in_.position();
  for (;;) {
    if (in_.position() - begin > kMaxPickle) refuse("is more than 16 MB long");
    const auto code = in_.number<uint8_t>();
    switch (code) {
      case 0x80: {  // PROTO
        const int version = in_.number<uint8_t>();
        if (version < 2 || version > 5) refuse(fmt::format("is of version {}, from 2 to 5 are read", version));
        break;
      }
      case 0x95: in_.number<uint64_t>(); break;  // FRAME: a hint for buffering
      case '.': {
        const NodeId result = pop();
        if (!stack_.empty() || !marks_.empty()) refuse("ends with values left over");
        return result;
      }
      case '(': marks_.push_back(stack_.size()); break;
      case 'N': make(Kind::nothing); break;
      case 0x88: make(Kind::boolean).integer = 1; break;
      case 0x89: make(Kind::boolean); break;
      case 'K': make(Kind::integer).integer = in_.number<uint8_t>(); break;
      case 'M': make(Kind::integer).integer = in_.number<uint16_t>(); break;
      case 'J': make(Kind::integer).integer = in_.number<int32_t>(); break;
      case 0x8a: long_integer(in_.number<uint8_t>()); break;
      case 'G':  // a leaf that is no tensor: its value does not matter
        in_.take(8);
        make(Kind::real);
        break;
      case 'X':
      case 'T': text(in_.number<uint32_t>()); break;
      case 0x8c:
      case 'U': text(in_.number<uint8_t>()); break;
      case ')': make(Kind::tuple); break;
      case 't': {
        std::vector<NodeId> items = pop_to_mark();
        make(Kind::tuple).items = std::move(items);
        break;
      }
      case 0x85: tuple_of(1); break;
      case 0x86: tuple_of(2); break;
      case 0x87: tuple_of(3); break;
      case ']': make(Kind::list); break;
      case 'a': {
        const NodeId item = pop();
        container(Kind::list).items.push_back(item);
        break;
      }
      case 'e': {
        const std::vector<NodeId> items = pop_to_mark();
        Node& n = container(Kind::list);
        n.items.insert(n.items.end(), items.begin(), items.end());
        break;
      }
      case '}': make(Kind::dict); break;
      case 's': {
        const NodeId value = pop(), key = pop();
        set_items({key, value});
        break;
      }
      case 'u': set_items(pop_to_mark()); break;
      case 'q': remember(in_.number<uint8_t>()); break;
      case 'r': remember(in_.number<uint32_t>()); break;
      case 0x94: remember(memo_.size()); break;
      case 'h': recall(in_.number<uint8_t>()); break;
      case 'j': recall(in_.number<uint32_t>()); break;
      case 'c': {
        const std::string_view module = in_.line(), name = in_.line();
        global(module, name);
        break;
      }
      case 0x93: {
        const Node& name = nodes_[pop()];
        const Node& module = nodes_[pop()];
        if (name.kind != Kind::text || module.kind != Kind::text) refuse("names a global by no text");
        const std::string module_text = module.text, name_text = name.text;
        global(module_text, name_text);
        break;
      }
      case 'Q': persistent(); break;
      case 'R': reduce(); break;
      case 'b':  // attributes of an OrderedDict: state_dict's _metadata
        pop();
        container(Kind::dict);
        break;
      default: refuse(fmt::format("uses the opcode 0x{:02x}, which plain data does not need", code));
    }
  }
}

// ---------------------------------------------------------------------------------------------- from tree to tensors

struct Leaf {
  std::string name;
  NodeId tensor;
};

/// Tensors by dotted name, in order.
class Flattener {
 public:
  Flattener(const Unpickler& pickle, const std::string& where) : pickle_(pickle), where_(where) {}
  std::vector<Leaf> run(NodeId root) {
    if (pickle_.node(root).kind == Kind::tensor)
      throw DataError("{}: it holds one tensor without a name; a state dict (names and tensors) is expected", where_);
    visit(root, 0);
    if (leaves_.empty())
      throw DataError("{}: it holds no tensor; a state dict (names and tensors) is expected", where_);
    return std::move(leaves_);
  }

 private:
  void visit(NodeId id, size_t depth) {
    if (++visits_ > kMaxVisits || depth > kMaxDepth)
      throw DataError("{}: its dicts lie in one another without end; a state dict is expected", where_);
    const Node& n = pickle_.node(id);
    if (n.kind == Kind::tensor) {
      if (!names_.insert(name_).second) throw DataError("{}: the tensor '{}' is there twice", where_, name_);
      leaves_.push_back({name_, id});
    } else if (n.kind == Kind::dict) {
      for (size_t i = 0; i + 1 < n.items.size(); i += 2) {
        const Node& key = pickle_.node(n.items[i]);
        if (key.kind != Kind::text && key.kind != Kind::integer)
          throw DataError("{}: a dict in it has a key that is neither a name nor a number", where_);
        below(key.kind == Kind::text ? key.text : std::to_string(key.integer), n.items[i + 1], depth);
      }
    } else if (n.kind == Kind::list || n.kind == Kind::tuple) {
      for (size_t i = 0; i < n.items.size(); ++i) below(std::to_string(i), n.items[i], depth);
    }
  }
  void below(const std::string& key, NodeId value, size_t depth) {
    const size_t length = name_.size();
    if (length + key.size() + 1 > kMaxName)
      throw DataError("{}: a tensor's name is longer than {} bytes", where_, kMaxName);
    if (length) name_ += '.';
    name_ += key;
    visit(value, depth + 1);
    name_.resize(length);
  }

  const Unpickler& pickle_;
  const std::string& where_;
  std::string name_;
  std::set<std::string> names_;
  std::vector<Leaf> leaves_;
  size_t visits_ = 0;
};

/// @param bytes_of  the bytes of a storage
template <class BytesOf>
NamedTensors tensors_of(const Unpickler& pickle, const std::vector<Leaf>& leaves, uint64_t file_bytes,
                        const std::string& where, BytesOf bytes_of) {
  uint64_t total = 0;
  NamedTensors out;
  for (const Leaf& leaf : leaves) {
    const Node& n = pickle.node(leaf.tensor);
    const Node& storage = pickle.node(n.storage);
    const int64_t element = storage.type->bytes;
    const std::string_view bytes = bytes_of(storage);
    if (static_cast<uint64_t>(storage.integer) > bytes.size() / static_cast<uint64_t>(element) ||
        static_cast<uint64_t>(storage.integer * element) != bytes.size())
      throw DataError("{}: the storage of tensor '{}' has {} bytes, {} elements of {} bytes are expected", where,
                      leaf.name, bytes.size(), storage.integer, element);
    int64_t count = 1, last = n.integer;
    for (size_t i = 0; i < n.size.size(); ++i) {
      count *= n.size[i];
      last += std::max<int64_t>(n.size[i] - 1, 0) * n.stride[i];
    }
    total += static_cast<uint64_t>(count * element);
    if (total > kMaxGrowth * file_bytes)
      throw DataError(
          "{}: its tensors together are more than {} times as large as the file; it is damaged or made to "
          "fill the memory",
          where, kMaxGrowth);
    const auto options = at::TensorOptions().dtype(storage.type->scalar);
    at::Tensor t = at::empty(n.size, options);
    if (count > 0) {
      const char* from = bytes.data() + n.integer * element;
      const size_t span = static_cast<size_t>((last - n.integer + 1) * element);
      if (storage.type->scalar == at::kBool && std::any_of(from, from + span, [](char v) { return v != 0 && v != 1; }))
        throw DataError("{}: tensor '{}' is of truth values, but holds bytes other than 0 and 1", where, leaf.name);
      if (t.strides() == at::IntArrayRef(n.stride)) {
        std::memcpy(t.data_ptr(), from, span);
      } else {
        at::Tensor flat = at::empty({last - n.integer + 1}, options);
        std::memcpy(flat.data_ptr(), from, span);
        t.copy_(flat.as_strided(n.size, n.stride));
      }
    }
    out.emplace_back(leaf.name, std::move(t));
  }
  return out;
}

// ------------------------------------------------------------------------------------------------------- the zip form

struct Record {
  uint64_t header = 0;  ///< where its local header begins
  uint64_t size = 0;
  uint32_t crc = 0;
  uint16_t method = 0, flags = 0;
};

class Zip {
 public:
  Zip(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) { read_directory(); }
  const std::map<std::string, Record>& records() const { return records_; }
  std::string_view content(const std::string& name) const;

 private:
  [[noreturn]] void damaged(const char* what) const {
    throw DataError("{}: its zip directory {}; the file is damaged or was cut short", where_, what);
  }
  void read_directory();

  std::string_view bytes_;
  const std::string& where_;
  std::map<std::string, Record> records_;
};

void Zip::read_directory() {
  constexpr std::string_view kEnd("PK\5\6", 4), kEnd64("PK\6\6", 4), kLocator("PK\6\7", 4), kEntry("PK\1\2", 4);
  constexpr size_t kEndSize = 22, kMaxComment = 65535;
  // The end of the directory is found from behind: only a comment may follow it.
  const size_t from = bytes_.size() > kEndSize + kMaxComment ? bytes_.size() - kEndSize - kMaxComment : 0;
  const size_t end = bytes_.rfind(kEnd);
  if (end == std::string_view::npos || end < from || bytes_.size() - end < kEndSize) damaged("is missing");
  Reader in(bytes_, where_);
  in.seek(end + 4);
  in.take(6);
  uint64_t count = in.number<uint16_t>();
  in.take(4);
  uint64_t offset = in.number<uint32_t>();
  if (end >= 20 && bytes_.substr(end - 20, 4) == kLocator) {
    in.seek(end - 20 + 8);
    const auto end64 = in.number<uint64_t>();
    in.seek(end64);
    if (in.take(4) != kEnd64) damaged("has no 64-bit end where it should be");
    in.take(8 + 2 + 2 + 4 + 4 + 8);
    count = in.number<uint64_t>();
    in.take(8);
    offset = in.number<uint64_t>();
  }
  in.seek(offset);
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (in.take(4) != kEntry) damaged("holds something else than entries");
    in.take(4);
    Record record;
    record.flags = in.number<uint16_t>();
    record.method = in.number<uint16_t>();
    in.take(4);
    record.crc = in.number<uint32_t>();
    uint64_t packed = in.number<uint32_t>();
    record.size = in.number<uint32_t>();
    const auto name_length = in.number<uint16_t>(), extra_length = in.number<uint16_t>(),
               comment_length = in.number<uint16_t>();
    in.take(2 + 2 + 4);
    record.header = in.number<uint32_t>();
    const std::string name(in.take(name_length));
    Reader extra(in.take(extra_length), where_);
    in.take(comment_length);
    while (!extra.at_end()) {
      const auto id = extra.number<uint16_t>(), length = extra.number<uint16_t>();
      Reader field(extra.take(length), where_);
      if (id != 1) continue;  // of 64-bit sizes: those that did not fit, in this order
      if (record.size == 0xffffffff) record.size = field.number<uint64_t>();
      if (packed == 0xffffffff) packed = field.number<uint64_t>();
      if (record.header == 0xffffffff) record.header = field.number<uint64_t>();
    }
    if (record.method == 0 && packed != record.size) damaged("has an entry of two sizes");
    // Entries that lie over each other would make much of little.
    if (record.method == 0 && (record.size > bytes_.size() || (total += record.size) > bytes_.size()))
      damaged("has entries that are larger than the file");
    if (!records_.emplace(name, record).second) damaged("has two entries of one name");
  }
}

std::string_view Zip::content(const std::string& name) const {
  const auto found = records_.find(name);
  if (found == records_.end())
    throw DataError("{}: the record '{}' is missing; the file is damaged or was cut short", where_, name);
  const Record& record = found->second;
  if (record.flags & 1) throw DataError("{}: the record '{}' is encrypted; torch.save does not do that", where_, name);
  if (record.method != 0)
    throw DataError(
        "{}: the record '{}' is compressed (zip method {}); torch.save stores records as they are: save it again with "
        "torch.save",
        where_, name, record.method);
  Reader in(bytes_, where_);
  in.seek(record.header);
  if (in.take(4) != std::string_view("PK\3\4", 4)) damaged("points at something else than an entry");
  in.take(22);
  const auto name_length = in.number<uint16_t>(), extra_length = in.number<uint16_t>();
  in.take(static_cast<uint64_t>(name_length) + extra_length);
  const std::string_view content = in.take(record.size);
  if (crc32(content) != record.crc)
    throw DataError("{}: the record '{}' does not match its checksum (CRC-32); the file is damaged, copy it again",
                    where_, name);
  return content;
}

NamedTensors parse_zip(std::string_view bytes, const std::string& where) {
  const Zip zip(bytes, where);
  constexpr std::string_view kPickle = "/data.pkl";
  std::optional<std::string> root;
  for (const auto& [name, record] : zip.records()) {
    if (!name.ends_with(kPickle) || name.find('/') != name.size() - kPickle.size()) continue;
    if (root) throw DataError("{}: it holds two archives in one; one state dict is expected", where);
    root = name.substr(0, name.size() - kPickle.size());
  }
  if (!root)
    throw DataError("{}: it is a zip file without data.pkl; a state dict that torch.save wrote is expected", where);
  if (zip.records().contains(*root + "/constants.pkl"))
    throw DataError(
        "{}: it is a TorchScript program, which is not run; save the weights alone: "
        "torch.save(torch.jit.load(file).state_dict(), other)",
        where);
  if (zip.records().contains(*root + "/byteorder") && zip.content(*root + "/byteorder") != "little")
    throw DataError("{}: it was written on a big-endian machine, which is not read; save it again on another", where);
  Reader in(zip.content(*root + "/data.pkl"), where);
  Unpickler pickle(in, where);
  const std::vector<Leaf> leaves = Flattener(pickle, where).run(pickle.run());
  // A storage that several tensors share is checked once.
  std::map<std::string, std::string_view> seen;
  return tensors_of(pickle, leaves, bytes.size(), where, [&](const Node& storage) {
    const auto found = seen.find(storage.text);
    if (found != seen.end()) return found->second;
    return seen[storage.text] = zip.content(*root + "/data/" + storage.text);
  });
}

// ------------------------------------------------------------------------------------------------- the older form

/// 0x1950a86a20f9469cfc6c, the first pickle of five.
constexpr std::string_view kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);

NamedTensors parse_legacy(std::string_view bytes, const std::string& where) {
  Reader in(bytes, where);
  in.take(kMagic.size());
  {
    Unpickler version(in, where);
    const Node& n = version.node(version.run());
    if (n.kind != Kind::integer || n.integer != 1001)
      throw DataError("{}: it is of an unknown version of torch.save's older form; 1001 is expected", where);
  }
  {
    Unpickler system(in, where);
    const Node& n = system.node(system.run());
    bool little = n.kind == Kind::dict;
    for (size_t i = 0; little && i + 1 < n.items.size(); i += 2) {
      const Node& value = system.node(n.items[i + 1]);
      if (system.node(n.items[i]).text == "little_endian") little = value.kind == Kind::boolean && value.integer == 1;
    }
    if (!little)
      throw DataError("{}: it was written on a big-endian machine, which is not read; save it again on another", where);
  }
  Unpickler pickle(in, where);
  const std::vector<Leaf> leaves = Flattener(pickle, where).run(pickle.run());
  std::map<std::string, const Type*> types;
  for (const Leaf& leaf : leaves) {
    const Node& storage = pickle.node(pickle.node(leaf.tensor).storage);
    types[storage.text] = storage.type;
  }
  Unpickler keys(in, where);
  const Node& list = keys.node(keys.run());
  if (list.kind != Kind::list) throw DataError("{}: its list of storages is missing; the file is damaged", where);
  std::map<std::string, std::string_view> contents;
  for (const NodeId id : list.items) {
    const Node& key = keys.node(id);
    const auto type = types.find(key.text);
    if (key.kind != Kind::text || type == types.end())
      throw DataError("{}: it holds a storage that no tensor uses; a state dict of tensors is expected", where);
    const auto elements = in.number<int64_t>();
    if (elements < 0 || static_cast<uint64_t>(elements) > bytes.size())
      throw DataError("{}: a storage says that it has {} elements; the file is damaged", where, elements);
    contents[key.text] = in.take(static_cast<uint64_t>(elements * type->second->bytes));
  }
  if (!in.at_end())
    throw DataError("{}: {} bytes follow its last storage; the file is damaged", where, bytes.size() - in.position());
  return tensors_of(pickle, leaves, bytes.size(), where, [&](const Node& storage) {
    const auto found = contents.find(storage.text);
    if (found == contents.end())
      throw DataError("{}: the storage '{}' is missing; the file is damaged or was cut short", where,
                      storage.text.substr(0, 40));
    return found->second;
  });
}

bool is_zip(std::string_view bytes) { return bytes.starts_with(std::string_view("PK\3\4", 4)); }

}  // namespace

NamedTensors parse_pth(std::string_view bytes, const std::string& where) {
  if (is_zip(bytes)) return parse_zip(bytes, where);
  if (bytes.starts_with(kMagic)) return parse_legacy(bytes, where);
  if (bytes.empty()) throw DataError("{}: the file is empty; a state dict that torch.save wrote is expected", where);
  throw DataError(
      "{}: it begins like no file of torch.save (neither its zip nor its older form); save the weights with "
      "torch.save(model.state_dict(), file)",
      where);
}

NamedTensors read_pth(const std::filesystem::path& file) { return parse_pth(read_file(file, kMaxFile), file.string()); }

WeightsFile read_weights(const std::filesystem::path& file) {
  const std::string bytes = read_file(file, kMaxFile);
  WeightsFile out;
  out.sha256 = sha256_hex(bytes);
  if (is_zip(bytes) || std::string_view(bytes).starts_with(kMagic)) {
    for (auto& [name, tensor] : parse_pth(bytes, file.string())) out.state.tensors.emplace(name, tensor);
  } else if (bytes.size() > 8 && bytes[8] == '{') {
    out.state = parse_safetensors(bytes, file.string());
  } else {
    throw DataError(
        "{}: it is no weights file that is read here; a safetensors file, or a state dict that torch.save wrote, is "
        "expected",
        file.string());
  }
  return out;
}

}  // namespace derm::tensor
