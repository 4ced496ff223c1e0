// What requests cost libmodsecurity: the same program as the example `measure` of our crate, to which the bench speaks in
// the same way. See there for what it reads and says.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

using namespace modsecurity;
using Bytes = const unsigned char *;

static const std::string answer = R"({"code":0,"message":"ok","data":{"id":"66a1f0","count":3}})";

// Ids of the rules that matched, in the round that is looked at.
static std::vector<long> matched;
static bool is_looked_at = false;

static void look_at(const char *line) {
    const char *id = is_looked_at && line ? std::strstr(line, "[id \"") : nullptr;
    if (id) matched.push_back(std::atol(id + 5));
}

// The library writes a line for each rule that matched, as it does for a web server's log. That of the rule that refuses
// comes with the refusal.
static void on_match(void *, const void *line) { look_at(static_cast<const char *>(line)); }

struct Request {
    std::string method, target, body;
    std::vector<std::pair<std::string, std::string>> headers;
};

static Request read_request(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) throw std::runtime_error("no request in " + path);
    std::istringstream head(text.substr(0, end));
    Request request;
    std::string line;
    std::getline(head, line);
    std::istringstream first(line);
    first >> request.method >> request.target;
    while (std::getline(head, line)) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        size_t colon = line.find(": ");
        request.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    request.body = text.substr(end + 4);
    return request;
}

// Status of a refusal, or 0.
static int refusal(Transaction *transaction) {
    ModSecurityIntervention it = {200, 0, nullptr, nullptr, 0};
    if (!msc_intervention(transaction, &it)) return 0;
    look_at(it.log);
    std::free(it.url);
    std::free(it.log);
    return it.disruptive ? it.status : 0;
}

static void add_header(Transaction *transaction, const std::string &name, const std::string &value,
                       int (*add)(Transaction *, Bytes, size_t, Bytes, size_t)) {
    add(transaction, reinterpret_cast<Bytes>(name.data()), name.size(),
        reinterpret_cast<Bytes>(value.data()), value.size());
}

// All phases but the last, up to a refusal.
static int phases(Transaction *transaction, const Request &request) {
    msc_process_connection(transaction, "10.0.0.1", 1234, "10.0.0.2", 80);
    msc_process_uri(transaction, request.target.c_str(), request.method.c_str(), "1.1");
    for (const auto &[name, value] : request.headers)
        add_header(transaction, name, value, msc_add_n_request_header);
    msc_process_request_headers(transaction);
    if (int status = refusal(transaction)) return status;
    if (!request.body.empty())
        msc_append_request_body(transaction, reinterpret_cast<Bytes>(request.body.data()),
                                request.body.size());
    msc_process_request_body(transaction);
    if (int status = refusal(transaction)) return status;
    add_header(transaction, "Content-Type", "application/json; charset=utf-8", msc_add_n_response_header);
    add_header(transaction, "Content-Length", std::to_string(answer.size()), msc_add_n_response_header);
    msc_process_response_headers(transaction, 200, "HTTP/1.1");
    if (int status = refusal(transaction)) return status;
    msc_append_response_body(transaction, reinterpret_cast<Bytes>(answer.data()), answer.size());
    msc_process_response_body(transaction);
    if (int status = refusal(transaction)) return status;
    return 200;
}

static int inspect(ModSecurity *library, RulesSet *rules, const Request &request) {
    Transaction *transaction = msc_new_transaction(library, rules, nullptr);
    int status = phases(transaction, request);
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
    return status;
}

int main(int, char **arguments) {
    ModSecurity *library = msc_init();
    msc_set_log_cb(library, on_match);
    RulesSet *rules = msc_create_rules_set();
    const char *error = nullptr;
    if (msc_rules_add_file(rules, arguments[1], &error) < 0) {
        std::cerr << (error ? error : "the rules cannot be loaded") << std::endl;
        return 1;
    }
    std::cout << "ready " << msc_who_am_i(library) << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
        size_t blank = line.find(' ');
        const int rounds = std::stoi(line.substr(0, blank));
        const Request request = read_request(line.substr(blank + 1));
        int status = 0;
        for (int round = 1; round <= rounds; round++) {
            is_looked_at = round == rounds;
            matched.clear();
            status = inspect(library, rules, request);
        }
        std::sort(matched.begin(), matched.end());
        std::cout << "done " << status << ' ';
        for (size_t at = 0; at < matched.size(); at++)
            std::cout << (at ? "," : "") << matched[at];
        std::cout << std::endl;
    }
}
