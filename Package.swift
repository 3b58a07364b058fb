// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

/// Exclusivity checks are half of the instructions of a round trip (measured with callgrind). The debug build, in which the
/// tests run, has them.
let fast = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let package = Package(
    name: "sluice",
    products: [
        .library(name: "Sluice", targets: ["Sluice"]),
        .library(name: "sluice", type: .dynamic, targets: ["SluiceABI"]),
        .executable(name: "sluiced", targets: ["sluiced"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    ],
    targets: [
        .systemLibrary(name: "CSluice", path: "include"),
        .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .target(name: "CLinux"),
        .target(name: "Sluice", dependencies: ["CJansson", "CLinux", "COpenSSL"], swiftSettings: fast),
        .target(
            name: "SluiceABI", dependencies: ["Sluice", "CSluice"], exclude: ["sluice.map"], swiftSettings: fast,
            linkerSettings: [
                // A host must get neither the Swift runtime's signal handlers nor a runtime path: the runtime goes inside,
                // and nothing but sluice_* comes out.
                .unsafeFlags([
                    "-static-stdlib", "-use-ld=lld",
                    "-Xlinker", "-soname=libsluice.so.0",
                    "-Xlinker", "--version-script=Sources/SluiceABI/sluice.map",
                    "-Xlinker", "-z", "-Xlinker", "nodelete",
                    "-Xlinker", "--gc-sections",
                ])
            ]),
        .target(
            name: "SluiceRPC",
            dependencies: ["Sluice", "CJansson", "CLinux", .product(name: "Logging", package: "swift-log")],
            swiftSettings: fast),
        .executableTarget(
            name: "sluiced",
            dependencies: [
                "SluiceRPC",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict,
            linkerSettings: [
                // Starts in a third of the time. The argument parser's FoundationEssentials does not name its static parts itself.
                .unsafeFlags([
                    "-static-stdlib", "-use-ld=lld", "-Xlinker", "--gc-sections",
                    "-Xlinker", "-l_FoundationCollections", "-Xlinker", "-l_FoundationCShims",
                ])
            ]),
        .executableTarget(name: "sluice-example", dependencies: ["Sluice"], path: "examples/swift", swiftSettings: strict),
        .testTarget(name: "SluiceTests", dependencies: ["Sluice"], swiftSettings: strict),
    ]
)
