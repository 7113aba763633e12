// Wishbone B4 classic to crystal_map. ACK, or ERR outside of the map, ends each cycle for one clock.
module crystal_wishbone #(parameter WBUS = 5) (
    input  wire clk,
    input  wire rst,
    input  wire cyc,
    input  wire stb,
    input  wire we,
    input  wire [WBUS-1:0] adr,
    input  wire [31:0] dat_i,
    input  wire [3:0] sel,
    output reg  [31:0] dat_o,
    output reg  ack,
    output reg  err,
    output wire write,
    output wire [WBUS-1:0] write_address,
    output wire [31:0] write_data,
    output wire [3:0] write_bytes,
    input  wire write_done,
    input  wire write_bad,
    output wire [WBUS-1:0] read_address,
    input  wire [31:0] read_data,
    input  wire read_bad
);
    wire request = cyc & stb & ~ack & ~err & ~rst;
    wire done = request & (write_done | ~we);
    wire bad = we ? write_bad : read_bad;
    assign write = request & we;
    assign write_address = adr;
    assign write_data = dat_i;
    assign write_bytes = sel;
    assign read_address = adr;
    always @(posedge clk) begin
        dat_o <= read_data;
        ack <= done & ~bad;
        err <= done & bad;
    end
endmodule
