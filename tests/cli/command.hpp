// Runs the dpflash command as a user would: arguments and standard input in; output, error and exit status out.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace dpflash::test {

struct Outcome {
  int status = -1;
  std::string out = {};
  std::string err = {};
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

inline File temporary(const std::string& text = "") {
  File file(std::tmpfile(), std::fclose);
  if (!file) std::abort();
  std::fwrite(text.data(), 1, text.size(), file.get());
  std::rewind(file.get());
  return file;
}

inline std::string contents(std::FILE* file) {
  std::rewind(file);
  std::string text;
  std::array<char, 4096> block{};
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), file)) text.append(block.data(), n);
  return text;
}

/// `out_path` replaces the captured standard output by a file; `close_out` closes it.
inline Outcome run(std::vector<std::string> arguments, const std::string& input = "", const char* out_path = nullptr,
                   bool close_out = false) {
  arguments.insert(arguments.begin(), DPFLASH_COMMAND);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const File in = temporary(input);
  const File out = temporary();
  const File err = temporary();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(in.get()), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(err.get()), STDERR_FILENO);
  if (close_out) {
    posix_spawn_file_actions_addclose(&actions, STDOUT_FILENO);
  } else if (out_path != nullptr) {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path, O_WRONLY, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), STDOUT_FILENO);
  }
  pid_t child = 0;
  int state = 0;
  if (posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ) != 0) std::abort();
  waitpid(child, &state, 0);
  posix_spawn_file_actions_destroy(&actions);
  return {WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state), contents(out.get()), contents(err.get())};
}

/// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "dpflash-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace dpflash::test
