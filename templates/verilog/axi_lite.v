// AXI4-Lite to crystal_map: one write and one read at a time. Address and data of a write come in
// any order; its response waits until the number is written. Errors are SLVERR.
module crystal_axi_lite #(parameter WBUS = 5) (
    input  wire clk,
    input  wire rst,
    input  wire awvalid,
    output wire awready,
    input  wire [WBUS-1:0] awaddr,
    input  wire wvalid,
    output wire wready,
    input  wire [31:0] wdata,
    input  wire [3:0] wstrb,
    output reg  bvalid,
    input  wire bready,
    output reg  [1:0] bresp,
    input  wire arvalid,
    output wire arready,
    input  wire [WBUS-1:0] araddr,
    output reg  rvalid,
    input  wire rready,
    output reg  [31:0] rdata,
    output reg  [1:0] rresp,
    output wire write,
    output reg  [WBUS-1:0] write_address,
    output reg  [31:0] write_data,
    output reg  [3:0] write_bytes,
    input  wire write_done,
    input  wire write_bad,
    output wire [WBUS-1:0] read_address,
    input  wire [31:0] read_data,
    input  wire read_bad
);
    reg have_address, have_data;
    assign awready = ~have_address;
    assign wready = ~have_data;
    assign write = have_address & have_data & ~bvalid;
    assign arready = ~rvalid;
    assign read_address = araddr;
    always @(posedge clk) begin
        if (awvalid & awready) write_address <= awaddr;
        if (wvalid & wready) {write_bytes, write_data} <= {wstrb, wdata};
        if (write & write_done) bresp <= {write_bad, 1'b0};
        if (arvalid & arready) {rresp, rdata} <= {read_bad, 1'b0, read_data};
        if (rst) {have_address, have_data, bvalid, rvalid} <= 0;
        else begin
            if (write & write_done) {have_address, have_data} <= 0;
            else begin
                if (awvalid) have_address <= 1'b1;
                if (wvalid) have_data <= 1'b1;
            end
            if (write & write_done) bvalid <= 1'b1;
            else if (bready) bvalid <= 1'b0;
            if (arvalid & arready) rvalid <= 1'b1;
            else if (rready) rvalid <= 1'b0;
        end
    end
endmodule
