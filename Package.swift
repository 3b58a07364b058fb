// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

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
        .target(name: "CLinux"),
        .target(name: "Sluice", dependencies: ["CLinux"], swiftSettings: strict),
        .target(
            name: "SluiceABI", dependencies: ["Sluice", "CSluice"], exclude: ["sluice.map"], swiftSettings: strict,
            linkerSettings: [
                // A host must get neither the Swift runtime's signal handlers nor a runtime path: the runtime goes inside,
                // and nothing but sluice_* comes out.
                .unsafeFlags([
                    "-static-stdlib",
                    "-Xlinker", "-soname=libsluice.so.0",
                    "-Xlinker", "--version-script=Sources/SluiceABI/sluice.map",
                    "-Xlinker", "-z", "-Xlinker", "nodelete",
                    "-Xlinker", "--gc-sections",
                ])
            ]),
        .target(
            name: "SluiceRPC",
            dependencies: ["Sluice", "CJansson", "CLinux", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .executableTarget(
            name: "sluiced",
            dependencies: [
                "SluiceRPC",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-static-stdlib", "-Xlinker", "--gc-sections"])]),
        .executableTarget(name: "sluice-example", dependencies: ["Sluice"], path: "examples/swift", swiftSettings: strict),
        .testTarget(name: "SluiceTests", dependencies: ["Sluice"], swiftSettings: strict),
    ]
)
