// A small C interface to AMD's XRT, which has none that can drive an NPU. Built against libxrt-dev 2.25, loaded at run time.
//
// Every function catches every exception. One that fails returns null or a code other than OK, and `amanuensis_xrt_error`
// has XRT's own text for the thread that called it. src/abi.rs is the other half: change both, and the version.

#include <xrt/experimental/xrt_kernel.h>
#include <xrt/experimental/xrt_version.h>
#include <xrt/experimental/xrt_xclbin.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_hw_context.h>
#include <xrt/xrt_kernel.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>

namespace {

enum Code : int32_t { OK = 0, REFUSED = 1, FAILED = 2, TIMED_OUT = 3 };

thread_local std::string error_text;
thread_local int32_t error_number = 0;

struct Session {
    xrt::device device;
    xrt::xclbin xclbin;
    xrt::hw_context context;
    xrt::kernel kernel;
    std::string name;
};

struct Buffer {
    xrt::bo bo;
};

struct List {
    xrt::runlist list;
};

template <typename Work> int32_t guarded(Work work) {
    error_text.clear();
    error_number = 0;
    try {
        return work();
    } catch (const xrt::run::command_error &error) {
        error_text = error.what();
        error_number = error.get_command_state();
        return FAILED;
    } catch (const xrt::runlist::command_error &error) {
        error_text = error.what();
        error_number = error.get_command_state();
        return FAILED;
    } catch (const std::system_error &error) {
        error_text = error.what();
        error_number = error.code().value();
        return REFUSED;
    } catch (const std::exception &error) {
        error_text = error.what();
        return REFUSED;
    } catch (...) {
        error_text = "XRT threw something that is no exception";
        return REFUSED;
    }
}

template <typename T, typename Make> T *made(Make make) {
    T *result = nullptr;
    guarded([&] {
        result = make();
        return OK;
    });
    return result;
}

} // namespace

extern "C" {

uint32_t amanuensis_xrt_abi() { return 1; }

// Major version in the high half, minor in the low one.
uint32_t amanuensis_xrt_version() {
    uint32_t version = 0;
    guarded([&] {
        version = xrt::version::code();
        return OK;
    });
    return version;
}

const char *amanuensis_xrt_error() { return error_text.c_str(); }
int32_t amanuensis_xrt_error_number() { return error_number; }

Session *amanuensis_xrt_open(uint32_t index, const char *xclbin, const char *kernel) {
    return made<Session>([&] {
        auto session = new Session;
        try {
            session->device = xrt::device(index);
            session->xclbin = xrt::xclbin(std::string(xclbin));
            session->device.register_xclbin(session->xclbin);
            session->context = xrt::hw_context(session->device, session->xclbin.get_uuid());
            session->kernel = xrt::kernel(session->context, kernel);
            session->name = session->device.get_info<xrt::info::device::name>();
        } catch (...) {
            delete session;
            throw;
        }
        return session;
    });
}

const char *amanuensis_xrt_name(Session *session) { return session->name.c_str(); }

void amanuensis_xrt_close(Session *session) {
    guarded([&] {
        delete session;
        return OK;
    });
}

// `argument` is the kernel argument that the buffer is for: buffers belong to groups that the context assigns.
Buffer *amanuensis_xrt_buffer(Session *session, uint64_t bytes, int32_t instructions, uint32_t argument) {
    return made<Buffer>([&] {
        const auto flags = instructions ? xrt::bo::flags::cacheable : xrt::bo::flags::host_only;
        return new Buffer{xrt::bo(session->device, bytes, flags, session->kernel.group_id(argument))};
    });
}

// The device reads and writes the caller's own pages: `data` begins on one.
Buffer *amanuensis_xrt_wrap(Session *session, void *data, uint64_t bytes, uint32_t argument) {
    return made<Buffer>([&] {
        const auto group = session->kernel.group_id(argument);
        return new Buffer{xrt::bo(session->device, data, bytes, xrt::bo::flags::host_only, group)};
    });
}

Buffer *amanuensis_xrt_part(Buffer *whole, uint64_t offset, uint64_t bytes) {
    return made<Buffer>([&] { return new Buffer{xrt::bo(whole->bo, bytes, offset)}; });
}

void *amanuensis_xrt_map(Buffer *buffer) {
    return made<void>([&] { return buffer->bo.map(); });
}

int32_t amanuensis_xrt_sync(Buffer *buffer, int32_t to_device, uint64_t offset, uint64_t bytes) {
    return guarded([&] {
        buffer->bo.sync(to_device ? XCL_BO_SYNC_BO_TO_DEVICE : XCL_BO_SYNC_BO_FROM_DEVICE, bytes, offset);
        return OK;
    });
}

void amanuensis_xrt_free(Buffer *buffer) {
    guarded([&] {
        delete buffer;
        return OK;
    });
}

xrt::run *amanuensis_xrt_run(Session *session) {
    return made<xrt::run>([&] { return new xrt::run(session->kernel); });
}

int32_t amanuensis_xrt_set_u32(xrt::run *run, uint32_t argument, uint32_t value) {
    return guarded([&] {
        run->set_arg(argument, value);
        return OK;
    });
}

int32_t amanuensis_xrt_set_u64(xrt::run *run, uint32_t argument, uint64_t value) {
    return guarded([&] {
        run->set_arg(argument, value);
        return OK;
    });
}

int32_t amanuensis_xrt_set_buffer(xrt::run *run, uint32_t argument, Buffer *buffer) {
    return guarded([&] {
        run->set_arg(argument, buffer->bo);
        return OK;
    });
}

void amanuensis_xrt_free_run(xrt::run *run) {
    guarded([&] {
        delete run;
        return OK;
    });
}

List *amanuensis_xrt_list(Session *session) {
    return made<List>([&] { return new List{xrt::runlist(session->context)}; });
}

int32_t amanuensis_xrt_add(List *list, xrt::run *run) {
    return guarded([&] {
        list->list.add(*run);
        return OK;
    });
}

// Runs the list and waits. A list that failed or timed out is of no further use, and neither is its session.
int32_t amanuensis_xrt_execute(List *list, uint32_t timeout_ms) {
    return guarded([&]() -> int32_t {
        list->list.execute();
        if (list->list.wait(std::chrono::milliseconds(timeout_ms)) == std::cv_status::no_timeout) return OK;
        error_text = "the NPU did not finish in time";
        return TIMED_OUT;
    });
}

void amanuensis_xrt_free_list(List *list) {
    guarded([&] {
        delete list;
        return OK;
    });
}

} // extern "C"
