// The address map behind a bus of 32-bit words. Below byte 4 << WINDEX: WORDS numbers of W bits,
// write-only. From there on: "CRYS", WORDS, W, all read-only, and where W > 32 a register with the
// bits above 32 of the numbers that are written after it.
module crystal_map #(
    parameter WORDS = 1, parameter W = 1, parameter WADDRESS = 1, parameter WINDEX = 2
) (
    input  wire clk,
    input  wire rst,
    input  wire write,
    input  wire [WINDEX+2:0] write_address,
    input  wire [31:0] write_data,
    input  wire [3:0] write_bytes,
    output wire write_done,
    output wire write_bad,
    input  wire [WINDEX+2:0] read_address,
    output wire [31:0] read_data,
    output wire read_bad,
    output wire cfg_valid,
    input  wire cfg_ready,
    output wire [WADDRESS-1:0] cfg_address,
    output wire [W-1:0] cfg_data
);
    localparam [31:0] COUNT = WORDS;
    localparam [31:0] WIDTH = W;
    localparam [31:0] READABLE = (W > 32) ? 4 : 3;
    wire [WINDEX-1:0] index = write_address[WINDEX+1:2];
    wire [WINDEX-1:0] asked = read_address[WINDEX+1:2];
    wire fits = {{(32-WINDEX){1'b0}}, index} < COUNT;
    wire number = (&write_bytes) & ~write_address[WINDEX+2] & fits;
    wire is_upper = (W > 32) & (&write_bytes) & write_address[WINDEX+2] & (index == 3);
    wire [31:0] upper;
    wire unused_low = &{1'b0, write_address[1:0], read_address[1:0], index};

    assign cfg_valid = write & number;
    assign cfg_address = index[WADDRESS-1:0];
    assign write_done = write & (cfg_ready | ~number);
    assign write_bad = ~(number | is_upper);
    assign read_bad = ~read_address[WINDEX+2] | ({{(32-WINDEX){1'b0}}, asked} >= READABLE);
    assign read_data = read_bad ? 0 : (asked == 0) ? 32'h43525953 : (asked == 1) ? COUNT
                     : (asked == 2) ? WIDTH : upper;
    generate
        if (W > 32) begin : wide
            reg [W-33:0] held;
            wire [63:0] shown = {{(96-W){1'b0}}, held};
            wire unused_shown = &{1'b0, shown[63:32]};
            always @(posedge clk)
                if (rst) held <= 0;
                else if (write & is_upper) held <= write_data[W-33:0];
            assign upper = shown[31:0];
            assign cfg_data = {held, write_data};
        end else begin : wide
            wire unused_rest = &{1'b0, clk, rst, is_upper, write_data};
            assign upper = 0;
            assign cfg_data = write_data[W-1:0];
        end
    endgenerate
endmodule
